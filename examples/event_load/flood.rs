//! Clients that send as fast as they are let, in turn to either side, while they read what comes back. Each side must
//! answer all of it in the order in which it was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::Report;
use crate::client::{Client, Failure, SIDES, Sink, Stream};

/// How long nothing may come back while something is missing.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is looked at whether something is missing.
const GLANCE: Duration = Duration::from_millis(100);

/// How often a client looks whether it is to send more.
const BEAT: Duration = Duration::from_millis(5);

#[derive(Default)]
struct Counts {
    /// Per side, what came back; each number is one above the one before.
    back: [u64; SIDES.len()],
    times: [Vec<Duration>; SIDES.len()],
}

pub(crate) async fn run(port: u16, clients: usize, rate: u32, length: Duration) -> Report {
    let began = Instant::now();
    let sent = Arc::new(AtomicU64::new(0));
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (sink, stream) = Client::connect(port).await?.split();
        let own = Arc::new(AtomicU64::new(u64::MAX));
        let (pongs, pinged) = mpsc::unbounded_channel();
        let (all, said) = (Arc::clone(&sent), Arc::clone(&own));
        let writing = tokio::spawn(write(sink, pinged, began, rate, length, all, said));
        running.spawn(async move {
            let read = read(stream, pongs, began, &own).await;
            writing.abort();
            read.map_err(|error| error.to_string())
        });
    }
    let mut all = Counts::default();
    let mut broken = Vec::new();
    while let Some(ended) = running.join_next().await {
        match ended? {
            Ok(counts) => all.add(counts),
            Err(error) => broken.push(error),
        }
    }
    let [node, native] = all.times.map(crate::percentiles);
    Ok(json!({
        "sent": sent.load(Relaxed),
        "back": all.back.iter().sum::<u64>(),
        "node": node,
        "native": native,
        "broken": broken,
        "seconds": began.elapsed().as_secs_f64(),
    }))
}

/// Sends for that long, and then only pongs. `said` tells how much it was, once that is known.
async fn write(
    mut sink: Sink,
    mut pinged: mpsc::UnboundedReceiver<()>,
    began: Instant,
    rate: u32,
    length: Duration,
    all: Arc<AtomicU64>,
    said: Arc<AtomicU64>,
) -> Result<(), Failure> {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let start = Instant::now();
    let mut number = 0;
    loop {
        let over = start.elapsed() >= length;
        if over {
            said.store(number, Relaxed);
        }
        tokio::select! {
            Some(()) = pinged.recv() => sink.send(Message::text("3")).await?,
            _ = beat.tick(), if !over => {
                let due = start.elapsed().min(length).as_secs_f64() * f64::from(rate);
                while (number as f64) < due && start.elapsed() < length {
                    let side = SIDES[usize::from(number % 2 == 1)];
                    let now = began.elapsed().as_micros();
                    let packet = format!(r#"42["side","to {side}",{},{now}]"#, number / 2);
                    sink.feed(Message::text(packet)).await?;
                    number += 1;
                    all.fetch_add(1, Relaxed);
                }
                sink.flush().await?;
            }
        }
    }
}

async fn read(
    mut stream: Stream,
    pongs: mpsc::UnboundedSender<()>,
    began: Instant,
    said: &AtomicU64,
) -> Result<Counts, Failure> {
    let mut counts = Counts::default();
    let mut heard = Instant::now();
    while counts.back.iter().sum::<u64>() != said.load(Relaxed) {
        let Ok(message) = timeout(GLANCE, stream.next()).await else {
            if heard.elapsed() < PATIENCE {
                continue;
            }
            let [node, native] = counts.back;
            return Err(format!("silence after {node} from node and {native} from native").into());
        };
        heard = Instant::now();
        let packet = match message {
            Some(Ok(Message::Text(packet))) => packet,
            Some(other) => return Err(format!("{other:?} is no text").into()),
            None => return Err("the server has closed".into()),
        };
        if packet.as_str() == "2" {
            pongs.send(())?;
            continue;
        }
        let values = packet
            .strip_prefix("42")
            .ok_or_else(|| packet.to_string())?;
        let (_, from, to, number, sent): (String, String, String, u64, u64) =
            serde_json::from_str(values)?;
        let side = SIDES.iter().position(|side| *side == from);
        let side = side.filter(|_| to == format!("to {from}"));
        let side = side.ok_or_else(|| format!("{packet} was not asked for"))?;
        if number != counts.back[side] {
            return Err(format!("{from} sent {number} instead of {}", counts.back[side]).into());
        }
        counts.back[side] += 1;
        let took = began.elapsed().saturating_sub(Duration::from_micros(sent));
        counts.times[side].push(took);
    }
    Ok(counts)
}

impl Counts {
    fn add(&mut self, other: Self) {
        for (own, back) in self.back.iter_mut().zip(other.back) {
            *own += back;
        }
        for (own, times) in self.times.iter_mut().zip(other.times) {
            own.extend(times);
        }
    }
}
