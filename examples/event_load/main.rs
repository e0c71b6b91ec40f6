//! Clients of Socket.IO that cost little: Engine.IO over a WebSocket by hand, TLS without verification, one thread. Each
//! command prints one line of JSON. `scripts/bench events` and scenarios of `scripts/torture` start it.

mod client;
mod crowd;
mod flips;
mod flood;
mod losses;
mod witness;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use serde_json::{Value, json};

use client::{Client, Failure};

#[derive(Parser)]
struct Options {
    /// The port on 127.0.0.1.
    #[arg(long)]
    port: u16,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One client echoes with an acknowledgement, one message after the other.
    RoundTrips { messages: usize },
    /// One of many clients tells all of them something, again and again.
    FanOut { clients: usize, messages: usize },
    /// Connects so many, prints a line, and keeps them, pings answered, until it is ended.
    Idle { clients: usize },
    /// The same over TLS alone: nothing is ever said.
    Silent { clients: usize },
    /// Connects so many, many at once, and keeps them for so many seconds; then both sides answer each of them.
    Crowd { clients: usize, seconds: u64 },
    /// So many clients send so many messages a second each, for so many seconds, and get all of them back.
    Flips {
        clients: usize,
        rate: u32,
        seconds: u64,
    },
    /// So many clients send to both sides so many messages a second each, or as many as they can, for so many seconds.
    Flood {
        clients: usize,
        rate: u32,
        seconds: u64,
    },
    /// The same with acknowledgements; who is disconnected comes back.
    Losses {
        clients: usize,
        rate: u32,
        seconds: u64,
    },
    /// One client that both sides answer, until it is ended; a line each second.
    Witness,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Options { port, command } = Options::parse();
    let done = match command {
        Command::RoundTrips { messages } => round_trips(port, messages).await,
        Command::FanOut { clients, messages } => fan_out(port, clients, messages).await,
        Command::Idle { clients } => idle(port, clients).await,
        Command::Silent { clients } => silent(port, clients).await,
        Command::Crowd { clients, seconds } => {
            crowd::run(port, clients, Duration::from_secs(seconds)).await
        }
        Command::Flips {
            clients,
            rate,
            seconds,
        } => flips::run(port, clients, rate, Duration::from_secs(seconds)).await,
        Command::Flood {
            clients,
            rate,
            seconds,
        } => flood::run(port, clients, rate, Duration::from_secs(seconds)).await,
        Command::Losses {
            clients,
            rate,
            seconds,
        } => losses::run(port, clients, rate, Duration::from_secs(seconds)).await,
        Command::Witness => witness::run(port).await,
    };
    match done {
        Ok(report) => {
            say(&report);
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&json!({ "error": error.to_string() }));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is how it reports")]
fn say(report: &Value) {
    println!("{report}");
}

type Report = Result<Value, Failure>;

async fn round_trips(port: u16, messages: usize) -> Report {
    let mut client = Client::connect(port).await?;
    let mut times = Vec::with_capacity(messages);
    for number in 0..messages {
        let began = Instant::now();
        let asked =
            format!("42{number}[\"message-with-ack\",{number},\"a punch of the time card\"]");
        client.send(asked).await?;
        let answer = client.next().await?;
        let expected = format!("43{number}[{number},\"a punch of the time card\"]");
        if answer != expected {
            return Err(format!("{answer} instead of {expected}").into());
        }
        times.push(began.elapsed());
    }
    Ok(percentiles(times))
}

async fn fan_out(port: u16, clients: usize, messages: usize) -> Report {
    let mut all = connect(port, clients).await?;
    let mut times = Vec::with_capacity(messages);
    for number in 0..messages {
        let began = Instant::now();
        all[0].send(format!("42[\"tell-all\",{number}]")).await?;
        let expected = format!("42[\"told\",{number}]");
        for client in &mut all {
            let told = client.next().await?;
            if told != expected {
                return Err(format!("{told} instead of {expected}").into());
            }
        }
        times.push(began.elapsed());
    }
    Ok(percentiles(times))
}

async fn connect(port: u16, clients: usize) -> Result<Vec<Client>, Failure> {
    let mut all = Vec::with_capacity(clients);
    for _ in 0..clients {
        all.push(Client::connect(port).await?);
    }
    Ok(all)
}

async fn idle(port: u16, clients: usize) -> Report {
    let all = connect(port, clients).await?;
    say(&json!({ "connected": all.len() }));
    let mut pinged = tokio::task::JoinSet::new();
    for mut client in all {
        // Ends only when the connection does.
        pinged.spawn(async move { client.next().await });
    }
    match pinged.join_next().await {
        Some(ended) => Err(format!("a client has ended: {ended:?}").into()),
        None => Err("there are no clients".into()),
    }
}

async fn silent(port: u16, clients: usize) -> Report {
    let mut all = Vec::with_capacity(clients);
    for _ in 0..clients {
        all.push(client::tls(port).await?);
    }
    say(&json!({ "connected": all.len() }));
    std::future::pending().await
}

fn percentiles(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let at = |share: f64| {
        let index = (times.len() as f64 * share) as usize;
        times
            .get(index.min(times.len().saturating_sub(1)))
            .map(|time| time.as_secs_f64() * 1e6)
    };
    json!({ "count": times.len(), "p50_us": at(0.5), "p99_us": at(0.99) })
}
