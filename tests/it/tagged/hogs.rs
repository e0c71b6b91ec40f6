//! A native WebSocket that computes for long: it keeps its thread from others, and from nothing of Node.

use serde_json::json;

use super::world::{MIXED, World, side_of, tagged};
use crate::support::hog::{self, HOG};

#[tokio::test]
async fn a_websocket_that_hogs_its_thread_delays_nothing_of_node() {
    let world = World::new("", &format!("{MIXED}\n{HOG}")).await;
    let mut clients = Vec::new();
    for number in 0..=2 * hog::threads() {
        let mut client = world.open().await;
        assert_eq!(side_of(&mut client, &tagged("o", number)).await, "node");
        // The next leg goes to the next thread.
        world.legs("native", number as f64 + 1.0).await;
        clients.push(client);
    }
    let command = json!({ "type": "n", "do": "hog" }).to_string();
    clients[0].send(command).await;
    hog::begins(&world.proxy).await;
    for (number, client) in clients.iter_mut().enumerate() {
        for _ in 0..3 {
            assert_eq!(side_of(client, &tagged("o", number)).await, "node");
        }
        if number % hog::threads() != 0 {
            assert_eq!(side_of(client, &tagged("n", number)).await, "native");
        }
    }
    for number in 0..hog::threads() {
        let mut new = world.open().await;
        assert_eq!(side_of(&mut new, &tagged("o", number)).await, "node");
    }
    hog::ends(&world.proxy).await;
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(side_of(client, &tagged("n", number)).await, "native");
    }
}
