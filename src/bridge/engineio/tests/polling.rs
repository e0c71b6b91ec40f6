//! Polling alone.

use super::*;

#[tokio::test(start_paused = true)]
async fn messages_pass_both_ways() {
    let mut running = Running::polling().await;
    running.post("4hello").await;
    assert_eq!(running.hear_text().await, "hello");
    let poll = running.get().await;
    running.send("world");
    let answer = poll.await.expect("an answer");
    assert_eq!(answer, Answer::payload("4world".into()));
}

#[tokio::test(start_paused = true)]
async fn several_packets_share_a_payload() {
    let mut running = Running::polling().await;
    running.post("4one\u{1e}4\u{1e}bAQID\u{1e}4två").await;
    assert_eq!(running.hear_text().await, "one");
    assert_eq!(running.hear_text().await, "");
    let binary = Message::Binary(Bytes::from_static(&[1, 2, 3]));
    assert_eq!(running.hear().await, Ok(binary.clone()));
    assert_eq!(running.hear_text().await, "två");
    running.order(Order::Send(binary));
    running.send("x");
    running.send("");
    tokio::task::yield_now().await;
    assert_eq!(running.poll().await, "bAQID\u{1e}4x\u{1e}4");
}

#[tokio::test(start_paused = true)]
async fn packets_that_mean_nothing_are_ignored() {
    let mut running = Running::polling().await;
    running.post("0{}\u{1e}5\u{1e}6\u{1e}3\u{1e}3probe").await;
    running.assert_open().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_poll_ends_the_session() {
    let mut running = Running::polling().await;
    let first = running.get().await;
    let second = running.get().await;
    assert_eq!(first.await, Ok(Answer::payload("1".into())));
    assert_eq!(second.await, Ok(Answer::empty(400)));
    assert_eq!(running.closed().await, Closed::TransportError);
    expect_unknown(&running).await;
}

#[tokio::test(start_paused = true)]
async fn overlapping_posts_end_the_session() {
    let mut running = Running::polling().await;
    let poll = running.get().await;
    let (_upload, first) = running.upload().await;
    let (_other, second) = running.upload().await;
    assert!(first.await.is_err(), "Node destroys its connection");
    assert_eq!(second.await, Ok(Answer::empty(400)));
    assert_eq!(poll.await, Ok(Answer::payload("1".into())));
    assert_eq!(running.closed().await, Closed::TransportError);
}

#[tokio::test(start_paused = true)]
async fn posts_in_a_row_do_not_overlap_even_if_they_come_at_once() {
    let (mut visits, mailbox) = channel(64);
    let (first, _answer) = oneshot::channel();
    let session = Session::polling("the-sid", LIMITS, mailbox, first);
    let mut answers = Vec::new();
    for body in ["4one", "4two", "4three"] {
        let (sends, upload) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        sends
            .send(Upload::Whole(body.into()))
            .expect("it is wanted");
        assert!(visits.try_send(Visit::Post { upload, answer }).is_ok());
        answers.push(answered);
    }
    let mut running = Running::new(session, visits);
    for word in ["one", "two", "three"] {
        assert_eq!(running.hear_text().await, word);
    }
    for answer in answers {
        assert_eq!(answer.await, Ok(Answer::ok()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_the_client_gives_up_ends_the_session() {
    let mut running = Running::polling().await;
    drop(running.get().await);
    assert_eq!(running.closed().await, Closed::TransportError);
    expect_unknown(&running).await;
}

#[tokio::test(start_paused = true)]
async fn a_post_that_the_client_breaks_off_ends_the_session() {
    let mut running = Running::polling().await;
    let poll = running.get().await;
    let (upload, _answer) = running.upload().await;
    drop(upload);
    assert_eq!(running.closed().await, Closed::TransportError);
    assert_eq!(poll.await, Ok(Answer::payload("1".into())));
}

#[tokio::test(start_paused = true)]
async fn a_post_that_is_too_big_does_not() {
    let mut running = Running::polling().await;
    let (upload, answer) = running.upload().await;
    upload.send(Upload::TooBig).expect("the session reads it");
    drop(answer);
    running.assert_open().await;
}

#[tokio::test(start_paused = true)]
async fn bad_payloads_end_the_session_after_what_came_before() {
    for (body, heard) in [
        ("", 0),
        ("abc", 0),
        ("7", 0),
        ("\u{1e}\u{1e}\u{1e}", 0),
        ("4a\u{1e}x\u{1e}4b", 1),
        ("4a\u{1e}4b\u{1e}", 2),
    ] {
        let mut running = Running::polling().await;
        let poll = running.get().await;
        running.post(body).await;
        for _ in 0..heard {
            running.hear_text().await;
        }
        assert_eq!(running.closed().await, Closed::ParseError, "{body:?}");
        assert_eq!(poll.await, Ok(Answer::payload("1".into())), "{body:?}");
        expect_unknown(&running).await;
    }
}

#[tokio::test(start_paused = true)]
async fn bad_base64_is_read_as_node_reads_it() {
    let mut running = Running::polling().await;
    running.post("bAQ%ID==BB").await;
    let binary = Message::Binary(Bytes::from_static(&[1, 2, 3]));
    assert_eq!(running.hear().await, Ok(binary));
}

#[tokio::test(start_paused = true)]
async fn other_methods_are_an_error_of_the_server() {
    let mut running = Running::polling().await;
    let (answer, answered) = oneshot::channel();
    running.visit(Visit::Other { answer }).await;
    assert_eq!(answered.await, Ok(Answer::empty(500)));
    running.assert_open().await;
}

#[tokio::test(start_paused = true)]
async fn a_held_session_takes_no_message_and_stays() {
    let mut running = Running::polling().await;
    running.order(Order::Hold(true));
    let (upload, mut answer) = running.upload().await;
    upload
        .send(Upload::Whole("4a".into()))
        .expect("the session reads it");
    // Past both the ping and its timeout: nobody listens, so the client cannot answer.
    assert_eq!(running.poll().await, "2");
    running.send("down");
    assert_eq!(running.poll().await, "4down");
    tokio::time::sleep(LIMITS.ping_timeout * 3).await;
    assert!(running.heard.is_empty());
    answer.try_recv().expect_err("no answer yet");
    running.order(Order::Hold(false));
    assert_eq!(running.hear_text().await, "a");
    assert_eq!(answer.await, Ok(Answer::ok()));
    running.assert_open().await;
}
