//! Clients that send numbers at a steady rate and get each one back with the name of the side that answered, while
//! somebody else flips the rule. What is lost, doubled, or out of order on one side is counted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::Report;
use crate::client::{Client, Failure};

/// How long an answer may take when nothing is sent any more.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Counts {
    sent: u64,
    back: u64,
    doubled: u64,
    disordered: u64,
    acknowledged: u64,
    /// Of acknowledgements: twice, or of an id that was not used.
    odd: u64,
    by_side: HashMap<String, u64>,
    /// How often the side was another one than before.
    changes: u64,
    times: Vec<Duration>,
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
            let exchange = Exchange::new(client);
            exchange
                .run(rate, length)
                .await
                .map_err(|error| error.to_string())
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
    Ok(all.report(&broken))
}

struct Exchange {
    client: Client,
    counts: Counts,
    /// When each number was sent that is not back.
    open: HashMap<u64, Instant>,
    unacknowledged: HashMap<u64, ()>,
    /// The last number of each side.
    last: HashMap<String, u64>,
    side: String,
}

impl Exchange {
    fn new(client: Client) -> Self {
        Self {
            client,
            counts: Counts::default(),
            open: HashMap::new(),
            unacknowledged: HashMap::new(),
            last: HashMap::new(),
            side: String::new(),
        }
    }

    async fn run(mut self, rate: u32, length: Duration) -> Result<Counts, Failure> {
        let mut beat = interval(Duration::from_secs(1) / rate);
        beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let end = Instant::now() + length;
        while Instant::now() < end {
            tokio::select! {
                _ = beat.tick() => self.send().await?,
                packet = self.client.next() => self.hear(packet?.as_str())?,
            }
        }
        while !(self.open.is_empty() && self.unacknowledged.is_empty()) {
            match timeout(PATIENCE, self.client.next()).await {
                Ok(packet) => self.hear(packet?.as_str())?,
                // They are lost.
                Err(_) => break,
            }
        }
        Ok(self.counts)
    }

    /// Every fourth one asks for an acknowledgement instead.
    async fn send(&mut self) -> Result<(), Failure> {
        let number = self.counts.sent;
        self.counts.sent += 1;
        let packet = if number.is_multiple_of(4) {
            self.unacknowledged.insert(number, ());
            format!("42{number}[\"message-with-ack\",{number}]")
        } else {
            self.open.insert(number, Instant::now());
            format!("42[\"side\",{number}]")
        };
        self.client
            .send(packet)
            .await
            .map_err(|error| error.to_string())?;
        Ok(())
    }

    fn hear(&mut self, packet: &str) -> Result<(), Failure> {
        if let Some(acknowledgement) = packet.strip_prefix("43") {
            let (id, values) = acknowledgement
                .split_once('[')
                .ok_or("an ack without values")?;
            let id: u64 = id.parse()?;
            let known = self.unacknowledged.remove(&id).is_some();
            if known && values == format!("{id}]") {
                self.counts.acknowledged += 1;
            } else {
                self.counts.odd += 1;
            }
            return Ok(());
        }
        let values = packet
            .strip_prefix("42")
            .ok_or_else(|| format!("{packet} is no event"))?;
        let (name, side, number): (String, String, u64) = serde_json::from_str(values)?;
        if name != "side-back" {
            return Err(format!("{packet} was not asked for").into());
        }
        match self.open.remove(&number) {
            Some(sent) => self.counts.times.push(sent.elapsed()),
            None => self.counts.doubled += 1,
        }
        if self
            .last
            .insert(side.clone(), number)
            .is_some_and(|last| last >= number)
        {
            self.counts.disordered += 1;
        }
        if self.side != side {
            self.counts.changes += u64::from(!self.side.is_empty());
            self.side.clone_from(&side);
        }
        self.counts.back += 1;
        *self.counts.by_side.entry(side).or_default() += 1;
        Ok(())
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.back += other.back;
        self.doubled += other.doubled;
        self.disordered += other.disordered;
        self.acknowledged += other.acknowledged;
        self.odd += other.odd;
        self.changes += other.changes;
        self.times.extend(other.times);
        for (side, count) in other.by_side {
            *self.by_side.entry(side).or_default() += count;
        }
    }

    fn report(self, broken: &[String]) -> Value {
        let lost = i128::from(self.sent) - i128::from(self.back + self.acknowledged - self.doubled);
        let mut report = crate::percentiles(self.times);
        report["sent"] = json!(self.sent);
        report["lost"] = json!(i64::try_from(lost).unwrap_or(i64::MAX));
        report["doubled"] = json!(self.doubled);
        report["disordered"] = json!(self.disordered);
        report["acknowledged"] = json!(self.acknowledged);
        report["odd_acks"] = json!(self.odd);
        report["by_side"] = json!(self.by_side);
        report["changes"] = json!(self.changes);
        report["broken"] = json!(broken);
        report
    }
}
