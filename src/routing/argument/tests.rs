//! What is found in messages, with `serde_json` as the oracle wherever it reads what JavaScript reads.

use proptest::prelude::*;

use super::*;

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

/// The value at `wanted`, while other places are looked for too.
fn found<'m>(text: &'m str, wanted: &str) -> Option<Value<'m>> {
    let all = ["", "/a", "/a/b", "/a/0", "/c/1/d", wanted].map(pointer);
    let pointers = Arc::new(Pointers::new(&all));
    LazyArgument::of_message(text.as_bytes()).get(&pointers, &pointer(wanted))
}

fn text(text: &str) -> Option<Value<'_>> {
    Some(Value::Text(Cow::Borrowed(text)))
}

#[test]
fn values_are_those_of_json_parse() {
    assert_eq!(found(r#"{"a":"x"}"#, "/a"), text("x"));
    assert_eq!(found(r#" "x" "#, ""), text("x"));
    assert_eq!(found(r#"{"a":36.0}"#, "/a"), Some(Value::Number(36.0)));
    assert_eq!(found("1e999", ""), Some(Value::Number(f64::INFINITY)));
    assert_eq!(found("-0", ""), Some(Value::Number(0.0)));
    assert_eq!(
        found("12345678901234567890", ""),
        Some(Value::Number(12_345_678_901_234_567_000.0))
    );
    assert_eq!(
        found(r#"{"c":[1,{"d":true}]}"#, "/c/1/d"),
        Some(Value::Bool(true))
    );
    assert_eq!(
        found(r#"{"c":{"1":{"d":false}}}"#, "/c/1/d"),
        Some(Value::Bool(false))
    );
    for nothing in [
        r#"{"a":null}"#,
        r#"{"a":[]}"#,
        r#"{"a":{}}"#,
        "{}",
        "[]",
        r#"{"A":1}"#,
    ] {
        assert_eq!(found(nothing, "/a"), None, "{nothing}");
    }
    // An item is not found by another spelling of its number.
    for wanted in ["/a/00", "/a/+0", "/a/-", "/a/1"] {
        assert_eq!(found(r#"{"a":["x"]}"#, wanted), None, "{wanted}");
    }
    assert_eq!(found(r#"{"a":["x"]}"#, "/a/0"), text("x"));
}

#[test]
fn of_two_members_of_one_name_the_last_counts() {
    assert_eq!(found(r#"{"a":"x","a":"y"}"#, "/a"), text("y"));
    assert_eq!(found(r#"{"a":"x","\u0061":{}}"#, "/a"), None);
    assert_eq!(found(r#"{"a":{"b":1},"a":{}}"#, "/a/b"), None);
    assert_eq!(found(r#"{"a":{"b":1},"a":2}"#, "/a/b"), None);
    assert_eq!(found(r#"{"a":2,"a":{"b":1}}"#, "/a"), None);
}

#[test]
fn escapes_are_decoded_and_halves_of_pairs_equal_nothing() {
    assert_eq!(
        found(r#""\u00e9\n\"\\\/\b\f\r\t""#, ""),
        text("\u{e9}\n\"\\/\u{8}\u{c}\r\t")
    );
    assert_eq!(found(r#""\ud83d\ude00""#, ""), text("\u{1f600}"));
    assert_eq!(found("\"\u{1f600}\"", ""), text("\u{1f600}"));
    for half in [
        r#""\ud83d""#,
        r#""\ude00""#,
        r#""\ud83dx""#,
        r#""\ud83d\n""#,
        r#""\ud83d\ud83d""#,
    ] {
        assert_eq!(found(half, ""), None, "{half}");
    }
    // Elsewhere in the message they do no harm, neither in a value nor in a name.
    assert_eq!(
        found(r#"{"\ud83d":1,"x":"\ude00","a":"y"}"#, "/a"),
        text("y")
    );
}

#[test]
fn what_is_not_json_has_no_values() {
    for bad in [
        "",
        "{",
        "{\"a\":1",
        "{\"a\":1}}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1} x",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":1e}",
        "{\"a\":-}",
        "{\"a\":nul}",
        "{\"a\":1,\"b\":\"\n\"}",
        "{\"a\":1,\"b\":\"\\x\"}",
        "{\"a\":1,\"b\":\"\\u12g4\"}",
        "{\"a\":1,\"b\":[}",
        "{\"a\":1,\"b\":{]}",
        "{\"a\":1,\"b\":[1,]}",
        "\u{feff}{\"a\":1}",
        "{\"a\":1\u{a0}}",
        "{\"a\":NaN}",
        "{\"a\":1,\"b\":Infinity}",
    ] {
        assert_eq!(found(bad, "/a"), None, "{bad}");
        assert!(
            serde_json::from_str::<serde_json::Value>(bad).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn the_first_argument_stands_behind_the_name() {
    let first = |packet: &'static str, wanted: &str| {
        let pointers = Arc::new(Pointers::new(&[pointer(wanted)]));
        LazyArgument::of_event(packet.as_bytes()).get(&pointers, &pointer(wanted))
    };
    assert_eq!(first(r#"["message",{"a":"x"},{"a":"y"}]"#, "/a"), text("x"));
    assert_eq!(
        first(r#" [ "hello" , "from server" ] "#, ""),
        text("from server")
    );
    assert_eq!(first(r#"[1,true]"#, ""), Some(Value::Bool(true)));
    for nothing in [
        r#"["message"]"#,
        "[]",
        r#"["message",]"#,
        r#""message""#,
        r#"["message",1"#,
        r#"["m",1]]"#,
    ] {
        assert_eq!(first(nothing, ""), None, "{nothing}");
    }
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!(
        "{{\"x\":{}1{},\"a\":2}}",
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    assert_eq!(found(&deep, "/a"), Some(Value::Number(2.0)));
    let deep = "{\"a\":".repeat(200_000);
    assert_eq!(found(&deep, "/a/b"), None);
}

#[test]
fn a_text_is_read_once_for_each_set() {
    let [one, other] = [["/a"], ["/b"]].map(|set| Arc::new(Pointers::new(&set.map(pointer))));
    let argument = LazyArgument::of_message(br#"{"a":1,"b":2}"#);
    assert!(!argument.is_read());
    assert_eq!(argument.get(&one, &pointer("/a")), Some(Value::Number(1.0)));
    let place = argument.read.borrow().as_ref().unwrap().found.as_ptr();
    assert_eq!(argument.get(&one, &pointer("/a")), Some(Value::Number(1.0)));
    assert_eq!(
        argument.read.borrow().as_ref().unwrap().found.as_ptr(),
        place
    );
    assert_eq!(
        argument.get(&other, &pointer("/b")),
        Some(Value::Number(2.0))
    );
    assert_eq!(argument.get(&other, &pointer("/a")), None);
}

fn a_value() -> impl Strategy<Value = serde_json::Value> {
    let scalar = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i32>().prop_map(serde_json::Value::from),
        // `serde_json` is exact to the last digit for short numbers only.
        any::<i32>().prop_map(|number| serde_json::Value::from(f64::from(number) / 8.0)),
        "(\\PC|[\"\\\\\n\u{1}])*".prop_map(serde_json::Value::from),
    ];
    scalar.prop_recursive(4, 32, 4, |inner| {
        let name = prop_oneof![
            Just("a".to_owned()),
            Just("b".to_owned()),
            Just("/~".to_owned()),
            "\\PC*"
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((name, inner), 0..4).prop_map(|members| members
                .into_iter()
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_found_is_what_serde_json_finds(
        value in a_value(),
        wanted in prop::collection::vec(prop::sample::select(vec!["", "/a", "/b", "/0", "/1", "/a/b", "/b/a/0", "/~1~0", "/0/a", "/a/1/b"]), 1..5),
        pretty in any::<bool>(),
        (at, byte) in (any::<prop::sample::Index>(), prop::sample::select(b"{}[]:,\"\\01e.-tn u\x01".to_vec())),
        damaged in any::<bool>(),
    ) {
        let mut json = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        if damaged {
            let at = at.index(json.len());
            json[at] = byte;
        }
        let Ok(json) = String::from_utf8(json) else { return Ok(()) };
        let all: Vec<Pointer> = wanted.iter().copied().map(pointer).collect();
        let pointers = Arc::new(Pointers::new(&all));
        let expected = serde_json::from_str::<serde_json::Value>(&json);
        // Half a pair and numbers beyond a double are errors to `serde_json` and none to JavaScript.
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok();
        prop_assert_eq!(scan(json.as_bytes(), Root::Message, &pointers).is_some(), is_json, "{}", json);
        let (Ok(expected), true) = (expected, is_json) else { return Ok(()) };
        let argument = LazyArgument::of_message(json.as_bytes());
        for wanted in &all {
            let expected = expected.pointer(&wanted.to_string()).and_then(|value| match value {
                serde_json::Value::String(text) => Some(Value::Text(Cow::Owned(text.clone()))),
                serde_json::Value::Number(number) => number.as_f64().map(Value::Number),
                serde_json::Value::Bool(value) => Some(Value::Bool(*value)),
                _ => None,
            });
            prop_assert_eq!(argument.get(&pointers, wanted), expected, "{} in {}", wanted, json);
        }
    }
}
