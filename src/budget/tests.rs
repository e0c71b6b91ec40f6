//! Who gets a place, and who has to go.

use std::time::Duration;

use tokio::time::{Instant, advance};

use super::*;
use crate::config::Limits;

fn budget(limits: &Limits) -> Arc<Budget> {
    Budget::new(Arc::new(Metrics::new()), limits, 1600, 1 << 30)
}

fn address(last: u8) -> Option<IpAddr> {
    Some([10, 0, 0, last].into())
}

#[test]
fn defaults_are_parts_of_what_the_process_has() {
    let budget = budget(&Limits::default());
    let limit = |name| budget.metrics.limits.with_label_values(&[name]).get();
    assert_eq!(limit("connections"), 1125);
    assert_eq!(limit("connections_per_address"), 843);
    assert_eq!(limit("node_requests"), 750);
    assert_eq!(limit("legs_per_address"), 562);
    assert_eq!(limit("unconnected_sessions"), 187);
    assert_eq!(limit("memory"), 268_435_000);
    budget.apply(&Limits {
        connections: Some(10),
        memory: MemoryLimit::Bytes(5_000_000),
        ..Limits::default()
    });
    assert_eq!((limit("connections"), limit("memory")), (10, 5_000_000));
    assert_eq!(limit("connections_per_address"), 7);
}

#[test]
fn connections_are_bounded_and_come_back() {
    let budget = budget(&Limits {
        connections: Some(3),
        ..Limits::default()
    });
    let mut open: Vec<_> = (0..3)
        .map(|_| budget.connect(None).expect("there is a place"))
        .collect();
    assert_eq!(budget.connect(None).err(), Some(NoPlace::Full));
    open.pop();
    assert!(budget.connect(None).is_ok());
    assert_eq!(budget.metrics.open_connections.get(), 2);
}

#[test]
fn an_address_is_bounded_only_while_there_is_little_left() {
    let budget = budget(&Limits {
        connections: Some(10),
        connections_per_address: Some(2),
        ..Limits::default()
    });
    // Half of them may be anybody's.
    let greedy: Vec<_> = (0..5).map(|_| budget.connect(address(1))).collect();
    assert!(greedy.iter().all(Result::is_ok));
    assert_eq!(budget.connect(address(1)).err(), Some(NoPlace::Address));
    let others = [budget.connect(address(2)), budget.connect(address(2))];
    assert!(others.iter().all(Result::is_ok));
    assert_eq!(budget.connect(address(2)).err(), Some(NoPlace::Address));
    // Many clients share the address of a proxy.
    let proxied: Vec<_> = (0..3).map(|_| budget.connect(None)).collect();
    assert!(proxied.iter().all(Result::is_ok));
    drop(others);
    drop(greedy);
    assert!(budget.connect(address(1)).is_ok());
}

#[test]
fn places_at_node_are_bounded_in_all_and_for_an_address() {
    let budget = budget(&Limits {
        node_requests: Some(4),
        legs_per_address: Some(1),
        ..Limits::default()
    });
    let client = budget.connect(address(1)).expect("a place");
    let client = client.address().expect("an address");
    let own: Vec<_> = (0..2).map(|_| budget.ask_node(Some(&client))).collect();
    assert!(own.iter().all(Result::is_ok));
    assert_eq!(budget.ask_node(Some(&client)).err(), Some(NoPlace::Address));
    let others = [budget.ask_node(None), budget.ask_node(None)];
    assert!(others.iter().all(Result::is_ok));
    assert_eq!(budget.ask_node(None).err(), Some(NoPlace::Full));
    drop(own);
    assert!(budget.ask_node(Some(&client)).is_ok());
    assert_eq!(budget.metrics.node_requests.get(), 2);
}

#[test]
fn the_oldest_session_without_a_namespace_goes_first() {
    let budget = budget(&Limits {
        unconnected_sessions: Some(2),
        ..Limits::default()
    });
    let waiters: Vec<_> = (0..4).map(|_| Waiter::new(&budget)).collect();
    let first = budget.unconnected(&waiters[0]);
    let second = budget.unconnected(&waiters[1]);
    // The first one connects in time.
    drop(first);
    let third = budget.unconnected(&waiters[2]);
    let fourth = budget.unconnected(&waiters[3]);
    let ended: Vec<_> = waiters.iter().map(|waiter| waiter.is_ended()).collect();
    assert_eq!(ended, [false, true, false, false]);
    assert_eq!(budget.metrics.unconnected_sessions.get(), 2);
    drop((second, third, fourth));
    assert_eq!(budget.metrics.unconnected_sessions.get(), 0);
}

#[test]
fn over_the_memory_budget_the_largest_goes() {
    let budget = budget(&Limits {
        memory: MemoryLimit::Bytes(1 << 20),
        ..Limits::default()
    });
    let waiters: Vec<_> = (0..3).map(|_| Waiter::new(&budget)).collect();
    waiters[0].hand_over(300_000);
    waiters[1].hand_over(500_000);
    waiters[2].set(100_000, 100_000);
    assert_eq!(budget.metrics.waiting_bytes.get(), 1_000_000);
    assert!(waiters.iter().all(|waiter| !waiter.is_ended()));
    waiters[2].set(100_000, 200_000);
    let ended: Vec<_> = waiters.iter().map(|waiter| waiter.is_ended()).collect();
    assert_eq!(ended, [false, true, false]);
    // It counts no more, whatever its buffers still hold.
    waiters[1].took(500_000);
    assert_eq!(budget.metrics.waiting_bytes.get(), 600_000);
    drop(waiters);
    assert_eq!(budget.metrics.waiting_bytes.get(), 0);
}

#[test]
fn small_answers_do_not_touch_the_sum() {
    let budget = budget(&Limits::default());
    let waiter = Waiter::new(&budget);
    waiter.hand_over(1000);
    assert_eq!(budget.metrics.waiting_bytes.get(), 0);
    waiter.hand_over(100_000);
    assert_eq!(budget.metrics.waiting_bytes.get(), 101_000);
    waiter.took(101_000);
    assert_eq!(budget.metrics.waiting_bytes.get(), 0);
}

/// Waiters that have something to take, of whom some do.
async fn look(budget: &Arc<Budget>, seconds: u64, takes: &[&Arc<Waiter>]) {
    for _ in 0..seconds * 4 {
        for waiter in takes {
            waiter.moved(100);
        }
        budget.relieve(Instant::now());
        advance(Duration::from_millis(250)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn under_pressure_the_one_without_progress_for_longest_goes_first() {
    let budget = budget(&Limits {
        node_requests: Some(100),
        ..Limits::default()
    });
    let requests = |count: usize| -> Vec<_> {
        let places = (0..count).map(|_| budget.ask_node(None).expect("a place"));
        places.collect()
    };
    let early = requests(50);
    let waiters: Vec<_> = (0..4).map(|_| Waiter::new(&budget)).collect();
    for waiter in &waiters[..3] {
        waiter.hand_over(10);
    }
    // Half of the budget: everybody may pause for as long as he likes to.
    look(&budget, 5, &[&waiters[1], &waiters[2]]).await;
    look(&budget, 60, &[&waiters[1]]).await;
    assert!(waiters.iter().all(|waiter| !waiter.is_ended()));
    let late = requests(1);
    waiters[1].moved(100);
    budget.relieve(Instant::now());
    let ended = |waiters: &[Arc<Waiter>]| -> Vec<bool> {
        waiters.iter().map(|waiter| waiter.is_ended()).collect()
    };
    // One is enough, if its request ends.
    assert!(ended(&waiters)[0]);
    assert!(!ended(&waiters)[1] && !ended(&waiters)[3]);
    drop(late);
    look(&budget, 5, &[&waiters[1]]).await;
    let _late = requests(20);
    look(&budget, 5, &[&waiters[1]]).await;
    // The one that takes something, and the one for whom nothing waits, stay.
    assert_eq!(ended(&waiters), [true, false, true, false]);
    drop(early);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stops_is_no_progress_either() {
    let budget = budget(&Limits {
        node_requests: Some(10),
        ..Limits::default()
    });
    let _places: Vec<_> = (0..6).map(|_| budget.ask_node(None)).collect();
    let connection = Waiter::new(&budget);
    let stream = connection.stream();
    stream.upload_waits();
    look(&budget, 1, &[]).await;
    assert!(!stream.is_ended());
    look(&budget, 2, &[]).await;
    assert!(stream.is_ended());
    // It has no task, so its connection has to go.
    assert!(connection.is_ended());
}
