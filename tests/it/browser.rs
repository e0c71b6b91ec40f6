//! A page of the time card in a real browser, through the proxy.

use serde_json::json;

use crate::support::process::{Process, node};
use crate::support::timecard::Timecard;

#[tokio::test]
async fn a_page_in_chromium_shows_a_punch() {
    let timecard = Timecard::start().await;
    let proxy = timecard.proxy().await;
    let url = format!("https://{}", proxy.address);
    let mut command = node("tests/js", "browser.mjs");
    let profile = tempfile::tempdir().unwrap();
    command.arg(format!("{url}/")).arg(profile.path());
    // For a look at the page: TEST_SCREENSHOT=/tmp/page.png.
    command.args(std::env::var_os("TEST_SCREENSHOT"));
    let mut browser = Process::start(command);
    assert_eq!(browser.expect("connected").await["text"], "connected");

    let mut reader = Process::start(node("tests/js", "readers.mjs"));
    let connect = json!({ "do": "connect", "url": url, "modes": ["upgrade"] });
    reader.tell(connect).await;
    reader.expect("connected").await;
    let punch =
        json!({ "ip": "172.18.21.101", "status": "tmp inserted wo pic", "data": { "id": 1025 } });
    reader
        .tell(json!({ "do": "send", "messages": [[punch]] }))
        .await;

    let row = browser.expect("row").await;
    let cells = row["cells"].as_array().unwrap();
    assert_eq!(
        cells[1..],
        [
            "172.18.21.101",
            "tmp inserted wo pic",
            "\u{9ad9}\u{6a4b} \"\u{30b1}\u{30f3}\" \u{5065}\u{4e00}",
            ""
        ]
    );
    browser.expect("done").await;
}
