//! One client that is answered by both sides all the time, while others are a nuisance. Tells each second how it fares.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::Report;
use crate::client::{Client, Failure, SIDES};

/// Between two questions to each side.
const BEAT: Duration = Duration::from_millis(50);
const BEATS_PER_LINE: u64 = 20;

/// What one side is asked.
#[derive(Default)]
struct Asked {
    sent: u64,
    back: u64,
    /// When each was sent that is not back, the eldest first.
    open: std::collections::VecDeque<Instant>,
    times: Vec<f64>,
}

pub(crate) async fn run(port: u16) -> Report {
    let mut client = Client::connect(port).await?;
    let mut asked = [Asked::default(), Asked::default()];
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut beats = 0;
    loop {
        tokio::select! {
            packet = client.next() => hear(packet?.as_str(), &mut asked)?,
            _ = beat.tick() => {
                for (side, asked) in SIDES.into_iter().zip(&mut asked) {
                    client.send(format!(r#"42["side","to {side}",{}]"#, asked.sent)).await?;
                    asked.sent += 1;
                    asked.open.push_back(Instant::now());
                }
                beats += 1;
                if beats % BEATS_PER_LINE == 0 {
                    let [node, native] = asked.each_mut().map(Asked::tell);
                    crate::say(&json!({ "node": node, "native": native }));
                }
            }
        }
    }
}

fn hear(packet: &str, asked: &mut [Asked; SIDES.len()]) -> Result<(), Failure> {
    for (side, asked) in SIDES.into_iter().zip(asked) {
        if packet == format!(r#"42["side-back","{side}","to {side}",{}]"#, asked.back) {
            asked.back += 1;
            let sent = asked.open.pop_front().ok_or("an answer to nothing")?;
            asked.times.push(sent.elapsed().as_secs_f64() * 1000.0);
            return Ok(());
        }
    }
    Err(format!("{packet} was not asked for, or not yet").into())
}

impl Asked {
    /// The times since it was told last, and for how long the eldest question is open.
    fn tell(&mut self) -> Value {
        let waits = self
            .open
            .front()
            .map(|sent| sent.elapsed().as_secs_f64() * 1000.0);
        json!({ "times": std::mem::take(&mut self.times), "waits": waits })
    }
}
