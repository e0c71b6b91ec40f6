//! A crowd that does nothing but answer pings, beside one client that does not answer them. At the end each of them is
//! answered by both sides once more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::Report;
use crate::client::{Client, Failure, SIDES};

/// Handshakes under way at a time.
const AT_ONCE: usize = 32;

/// How long an answer may take, when all ask for theirs.
const PATIENCE: Duration = Duration::from_secs(20);

/// One that stayed to the end.
struct Present {
    pings: u64,
    took: [Duration; SIDES.len()],
}

pub(crate) async fn run(port: u16, clients: usize, length: Duration) -> Report {
    let began = Instant::now();
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let (joins, mut joined) = mpsc::unbounded_channel();
    let (ends, end) = watch::channel(None);
    let mut crowd = JoinSet::new();
    for number in 0..clients {
        let (gate, joins, end) = (Arc::clone(&gate), joins.clone(), end.clone());
        crowd.spawn(async move {
            let client = {
                let _turn = gate.acquire().await;
                Client::connect(port).await
            };
            joins.send(client.as_ref().err().map(ToString::to_string))?;
            // It answers pings from now on, however long the others take.
            stay(client?, number, end).await
        });
    }
    let mut failed = Vec::new();
    for _ in 0..clients {
        failed.extend(joined.recv().await.flatten());
    }
    let deaf = Client::connect(port).await?;
    crate::say(&json!({
        "connected": clients - failed.len(),
        "failed": by_count(&failed),
        "seconds": began.elapsed().as_secs_f64(),
    }));
    let over = Instant::now() + length;
    ends.send(Some(over))?;
    let ignoring = tokio::spawn(ignore_pings(deaf, over));
    let (mut pings, mut gone) = (Vec::new(), Vec::new());
    let mut took = [Vec::new(), Vec::new()];
    while let Some(ended) = crowd.join_next().await {
        match ended? {
            Ok(present) => {
                pings.push(present.pings);
                for (times, time) in took.iter_mut().zip(present.took) {
                    times.push(time);
                }
            }
            Err(error) => gone.push(error.to_string()),
        }
    }
    let [node, native] = took.map(crate::percentiles);
    Ok(json!({
        "answered": pings.len(),
        "gone": by_count(&gone),
        "pings": pings.iter().sum::<u64>(),
        "fewest_pings": pings.iter().min(),
        "node": node,
        "native": native,
        "deaf_seconds": ignoring.await?.map(|lived| lived.as_secs_f64()),
    }))
}

/// Answers pings until the moment that `end` tells, then hears from both sides.
async fn stay(
    mut client: Client,
    number: usize,
    mut end: watch::Receiver<Option<Instant>>,
) -> Result<Present, Failure> {
    let over = async move {
        let over = end.wait_for(Option::is_some).await.map(|over| *over);
        match over {
            Ok(Some(over)) => sleep_until(over.into()).await,
            _ => std::future::pending().await,
        }
    };
    tokio::select! {
        packet = client.next() => return Err(format!("{} unasked", packet?).into()),
        () = over => {}
    }
    let pings = client.pings();
    let mut took = [Duration::ZERO; SIDES.len()];
    for (side, took) in SIDES.into_iter().zip(&mut took) {
        let asked = Instant::now();
        client
            .send(format!(r#"42["side","to {side}",{number}]"#))
            .await?;
        let answer = timeout(PATIENCE, client.next())
            .await
            .map_err(|_| format!("no answer from {side}"))??;
        if answer != format!(r#"42["side-back","{side}","to {side}",{number}]"#) {
            return Err(format!("{answer} from {side}").into());
        }
        *took = asked.elapsed();
    }
    Ok(Present { pings, took })
}

/// How long a client lived that answers no ping; `None` if it was still there at the end.
async fn ignore_pings(mut client: Client, end: Instant) -> Option<Duration> {
    let began = Instant::now();
    let closed = async { while client.hear().await.is_ok() {} };
    tokio::select! {
        () = closed => Some(began.elapsed()),
        () = sleep_until(end.into()) => None,
    }
}

fn by_count(failures: &[String]) -> Value {
    let mut counts = BTreeMap::<&str, usize>::new();
    for failure in failures {
        *counts.entry(failure).or_default() += 1;
    }
    json!(counts)
}
