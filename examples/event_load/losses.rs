//! Clients that ask both sides for acknowledgements at a steady rate while Node is killed and comes back. A client that is
//! disconnected comes back too, as the libraries do, and asks nothing again.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::Report;
use crate::client::{Client, Failure, SIDES};

/// How long an acknowledgement may take when nothing is asked any more.
const PATIENCE: Duration = Duration::from_secs(5);

/// Before a client tries to connect again.
const RETRY: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Counts {
    disconnected: u64,
    asked: [u64; SIDES.len()],
    acknowledged: [u64; SIDES.len()],
    /// Twice, of another connection, or from the wrong side.
    odd: u64,
    /// When each was asked that has no answer, in seconds since 1970, by side.
    unanswered: [Vec<f64>; SIDES.len()],
    /// How long a client was away.
    away: Vec<Duration>,
    /// Of acknowledgements.
    times: [Vec<Duration>; SIDES.len()],
}

pub(crate) async fn run(port: u16, clients: usize, rate: u32, length: Duration) -> Report {
    let mut connected = Vec::new();
    for _ in 0..clients {
        connected.push(Client::connect(port).await?);
    }
    crate::say(&json!({ "connected": clients }));
    let mut running = JoinSet::new();
    for client in connected {
        running.spawn(async move {
            let asked = ask(client, port, rate, length).await;
            asked.map_err(|error| error.to_string())
        });
    }
    let mut all = Counts::default();
    while let Some(ended) = running.join_next().await {
        all.add(ended??);
    }
    Ok(all.report())
}

async fn ask(
    mut client: Client,
    port: u16,
    rate: u32,
    length: Duration,
) -> Result<Counts, Failure> {
    let mut counts = Counts::default();
    let mut open = HashMap::new();
    let mut beat = interval(Duration::from_secs(1) / rate);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = Instant::now() + length;
    let mut number = 0_u64;
    while Instant::now() < end {
        let done = tokio::select! {
            packet = client.next() => packet.and_then(|packet| counts.hear(&packet, &mut open)),
            _ = beat.tick() => {
                let side = usize::from(number % 2 == 1);
                let packet = format!(r#"42{number}["message-with-ack","to {}"]"#, SIDES[side]);
                counts.asked[side] += 1;
                open.insert(number, (side, Instant::now(), SystemTime::now()));
                number += 1;
                client.send(packet).await
            }
        };
        if done.is_err() {
            counts.give_up(&mut open);
            counts.disconnected += 1;
            let since = Instant::now();
            client = loop {
                match Client::connect(port).await {
                    Ok(client) => break client,
                    Err(error) if since.elapsed() > length => return Err(error),
                    Err(_) => sleep(RETRY).await,
                }
            };
            counts.away.push(since.elapsed());
        }
    }
    // Longer than for the last one, so that a second answer to any of them would be seen.
    let listen = async {
        loop {
            counts.hear(&client.next().await?, &mut open)?;
        }
    };
    match timeout(PATIENCE, listen).await {
        Ok(Err::<(), Failure>(error)) => return Err(error),
        Ok(Ok(())) | Err(_) => counts.give_up(&mut open),
    }
    Ok(counts)
}

type Open = HashMap<u64, (usize, Instant, SystemTime)>;

impl Counts {
    fn hear(&mut self, packet: &str, open: &mut Open) -> Result<(), Failure> {
        let (id, values) = packet
            .strip_prefix("43")
            .and_then(|packet| packet.split_once('['))
            .ok_or_else(|| format!("{packet} is no ack"))?;
        match open.remove(&id.parse()?) {
            Some((side, asked, _)) if values == format!(r#""to {}"]"#, SIDES[side]) => {
                self.acknowledged[side] += 1;
                self.times[side].push(asked.elapsed());
            }
            _ => self.odd += 1,
        }
        Ok(())
    }

    fn give_up(&mut self, open: &mut Open) {
        for (_, (side, _, asked)) in open.drain() {
            let at = asked.duration_since(UNIX_EPOCH).unwrap_or_default();
            self.unanswered[side].push(at.as_secs_f64());
        }
    }

    fn add(&mut self, other: Self) {
        self.disconnected += other.disconnected;
        self.odd += other.odd;
        self.away.extend(other.away);
        for side in 0..SIDES.len() {
            self.asked[side] += other.asked[side];
            self.acknowledged[side] += other.acknowledged[side];
        }
        for (own, others) in self.unanswered.iter_mut().zip(other.unanswered) {
            own.extend(others);
        }
        for (own, others) in self.times.iter_mut().zip(other.times) {
            own.extend(others);
        }
    }

    fn report(self) -> Value {
        let [node, native] = self.times.map(crate::percentiles);
        json!({
            "disconnected": self.disconnected,
            "away": self.away.iter().max().map(Duration::as_secs_f64),
            "odd_acks": self.odd,
            "asked": self.asked,
            "acknowledged": self.acknowledged,
            "unanswered": self.unanswered,
            "node": node,
            "native": native,
        })
    }
}
