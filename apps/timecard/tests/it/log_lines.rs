//! The log names the rule and the reason when the native time card fails.

use crate::support::certs::Ca;
use crate::support::program::{Program, command, folder, wait_for};
use crate::support::{Client, TestNode};

#[tokio::test]
async fn a_native_failure_is_logged_with_rule_and_reason() {
    let node = TestNode::echo().await;
    let ca = Ca::new();
    // A database without tables.
    let rules = "[native]\napp = \"timecard\"\ndatabase = \"sqlite:timecard.db\"\n[rule]\n\
        drivers = { http = [\"GET /api/drivers\"], to = \"native\" }\n\
        logs = { http = [\"GET /api/ic_log\"], to = \"native only\" }";
    let (folder, routes) = folder(&ca, &node.url(), rules);
    std::fs::write(folder.path().join("timecard.db"), "").unwrap();
    let mut program = Program::start(command(env!("CARGO_BIN_EXE_timecard")), &routes).await;
    let mut client = Client::connect(program.address, &ca.client_config(&["http/1.1"])).await;
    for (target, status, message, rule) in [
        (
            "/api/drivers",
            200,
            "node answers instead of native",
            "drivers",
        ),
        (
            "/api/ic_log",
            500,
            "native failed, and node cannot answer instead",
            "logs",
        ),
    ] {
        assert_eq!(client.get(target).await.unwrap().status, status, "{target}");
        let line = wait_for(&mut program.log, message).await;
        assert_eq!(
            (
                &line["level"],
                &line["rule"],
                &line["reason"],
                &line["count"]
            ),
            (&"WARN".into(), &rule.into(), &"status".into(), &1.into())
        );
    }
}
