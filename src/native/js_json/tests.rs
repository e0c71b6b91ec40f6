//! What V8 need not be asked for; `tests/it/js_json.rs` asks it.

use super::*;

fn again(text: &str) -> String {
    stringify(&parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))).unwrap()
}

#[test]
fn text_comes_back_as_javascript_prints_it() {
    for (text, expected) in [
        ("36.0", "36"),
        ("12345678901234567890", "12345678901234567000"),
        ("-0", "0"),
        ("-0.0e-5", "0"),
        ("1e21", "1e+21"),
        ("1e400", "null"),
        ("[-1e400]", "[null]"),
        ("0.000001", "0.000001"),
        ("1e-7", "1e-7"),
        (" [ ] ", "[]"),
        ("\t\n\r {\n}", "{}"),
        (
            r#"{"b":1,"10":2,"9":3,"a":4,"b":5}"#,
            r#"{"9":3,"10":2,"b":5,"a":4}"#,
        ),
        (
            r#"{"4294967295":1,"01":2,"-1":3,"4294967294":4,"0":5}"#,
            r#"{"0":5,"4294967294":4,"4294967295":1,"01":2,"-1":3}"#,
        ),
        (
            r#"{"__proto__":{"a":1},"constructor":2,"__proto__":3}"#,
            r#"{"__proto__":3,"constructor":2}"#,
        ),
        (r#""\ud83d\ude00\/""#, "\"😀/\""),
        (r#""\uD83D\u0041\uDE00\ude00""#, r#""\ud83dA\ude00\ude00""#),
        (r#""\ud800\n\ud83d\ud83d\ude00""#, r#""\ud800\n\ud83d😀""#),
        (r#"{"\udc00":1,"\udc00":2}"#, r#"{"\udc00":2}"#),
        (
            "\"\u{7f}\u{2028}\u{2029}𠮷\"",
            "\"\u{7f}\u{2028}\u{2029}𠮷\"",
        ),
        (
            r#""\u0000\u0008\u0009\u000a\u000b\u000c\u000d\u001f\u0020""#,
            r#""\u0000\b\t\n\u000b\f\r\u001f ""#,
        ),
        ("[true,false,null]", "[true,false,null]"),
    ] {
        assert_eq!(again(text), expected, "{text}");
    }
}

#[test]
fn indentation_is_that_of_javascript_up_to_a_length() {
    let value = parse(r#"{"b":[],"a":{},"1":[1,{"c":[[null]]}]}"#).unwrap();
    let indented = r#"{
  "1": [
    1,
    {
      "c": [
        [
          null
        ]
      ]
    }
  ],
  "b": [],
  "a": {}
}"#;
    let length = indented.len();
    assert_eq!(
        stringify_indented(&value, 2, length).as_deref(),
        Some(indented)
    );
    assert_eq!(stringify_indented(&value, 2, length - 1), None);
    let mut object = Object::default();
    object.insert("left out", Value::Undefined);
    assert_eq!(
        stringify_indented(&Value::Object(object), 2, 9).as_deref(),
        Some("{}")
    );
    let depth = 1_000_000;
    let deep = parse(&format!("{}{}", "[".repeat(depth), "]".repeat(depth))).unwrap();
    assert_eq!(stringify_indented(&deep, 2, 1 << 20), None);
}

#[test]
fn what_is_no_json_says_where() {
    for (text, at) in [
        ("", 0),
        (" ", 1),
        ("[1,]", 3),
        ("{\"a\":1,}", 7),
        ("{a:1}", 1),
        ("[1 2]", 3),
        ("1 2", 2),
        ("01", 1),
        ("-", 1),
        ("1.", 2),
        ("1e+", 3),
        ("+1", 0),
        (".5", 0),
        ("nul", 0),
        ("'a'", 0),
        ("\"a", 2),
        ("\"a\nb\"", 2),
        ("\"\\x41\"", 2),
        ("\"\\u00g0\"", 3),
        ("\"\\u12", 3),
        ("\"\\ud800\\u12\"", 9),
        ("\u{feff}1", 0),
        ("\u{a0}1", 0),
        ("[", 1),
        ("]", 0),
        ("{\"a\"", 4),
    ] {
        assert_eq!(parse(text).err(), Some(ParseError { at }), "{text:?}");
    }
}

#[test]
fn depth_is_bounded_by_the_text_alone() {
    let depth = 100_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[0,", ",1]")] {
        let text = format!("{}7{}", open.repeat(depth), close.repeat(depth));
        assert_eq!(again(&text), text);
        // Half of it is an error in the end, and what is open then is dropped.
        assert!(parse(&text[..text.len() - 1]).is_err());
    }
}

#[test]
fn values_that_json_does_not_bring_are_printed_as_node_does() {
    assert_eq!(stringify(&Value::Undefined), None);
    let mut object = Object::default();
    object.insert("left out", Value::Undefined);
    object.insert("0", Value::Undefined);
    object.insert("b", Value::Buffer(Bytes::from_static(&[0, 10, 255])));
    let items = vec![
        Value::Undefined,
        Value::Object(object),
        Value::Buffer(Bytes::new()),
    ];
    assert_eq!(
        stringify(&Value::Array(items.into())).as_deref(),
        Some(r#"[null,{"b":{"type":"Buffer","data":[0,10,255]}},{"type":"Buffer","data":[]}]"#)
    );
}

#[test]
fn an_assignment_keeps_the_place_of_a_known_key() {
    let mut value = parse(r#"{"name":"","id":1,"7":{}}"#).unwrap();
    let Value::Object(object) = &mut value else {
        panic!("an object");
    };
    object.insert("name", "Sato".into());
    object.insert("new", 1.5.into());
    object.insert("3", true.into());
    assert_eq!(object.len(), 5);
    assert!(object.get_mut("7").is_some());
    assert_eq!(
        stringify(&value).as_deref(),
        Some(r#"{"3":true,"7":{},"name":"Sato","id":1,"new":1.5}"#)
    );
    assert_eq!(value.get("name").and_then(Value::as_str), Some("Sato"));
    assert!(Value::Null.get("name").is_none());
}

#[test]
fn truth_is_that_of_javascript() {
    for text in ["null", "false", "0", "-0.0", "\"\""] {
        assert!(!parse(text).unwrap().is_truthy(), "{text}");
    }
    for text in ["true", "-1", "1e400", "\" \"", "\"\\ud800\"", "[]", "{}"] {
        assert!(parse(text).unwrap().is_truthy(), "{text}");
    }
    assert!(!Value::Undefined.is_truthy());
    assert!(!Value::Number(f64::NAN).is_truthy());
    assert!(Value::Buffer(Bytes::new()).is_truthy());
}

/// Issue 9: an overflow of the stack ends the process. A recursion over a million levels would not fit into this one.
#[test]
fn deep_values_take_no_stack() {
    let levels = 1_000_000;
    let small = std::thread::Builder::new().stack_size(1 << 20);
    let walk = small.spawn(move || {
        let arrays = "[".repeat(levels) + &"]".repeat(levels);
        let some = levels / 5;
        let objects = "{\"a\":".repeat(some) + "1" + &"}".repeat(some);
        for (text, levels) in [(arrays, levels), (objects, some)] {
            let mut value = parse(&text).unwrap();
            assert!(stringify(&value).unwrap() == text);
            assert!(format!("{value:?}") == text);
            assert!(value.is_deeper_than(levels - 1) && !value.is_deeper_than(levels));
            let refused = serde_json::to_string(&value).unwrap_err().to_string();
            assert_eq!(refused, "nested deeper than 128 levels");
            // A part of it is dropped as the whole is, and so is what was read when a text ends too early.
            match &mut value {
                Value::Array(items) => drop(Vec::from(std::mem::take(items))),
                Value::Object(object) => object.insert("a", Value::Null),
                _ => unreachable!(),
            }
            assert!(parse(&text[..text.len() - 1]).is_err());
        }
    });
    walk.unwrap().join().unwrap();
}

#[test]
fn other_formats_get_what_javascript_prints() {
    let text = r#"{"b":36.0,"10":-0.0,"a":[1e400,0.5,9007199254740993,"\ud800x",true,null,{}]}"#;
    let mut value = parse(text).unwrap();
    if let Value::Object(object) = &mut value {
        object.insert("gone", Value::Undefined);
        object.insert("bytes", Value::Buffer(Bytes::from_static(&[1, 2])));
    }
    let expected =
        r#"{"10":0,"b":36,"a":[null,0.5,9007199254740992,"�x",true,null,{}],"bytes":[1,2]}"#;
    assert_eq!(serde_json::to_string(&value).unwrap(), expected);
    let nested = |levels| parse(&("[".repeat(levels) + &"]".repeat(levels))).unwrap();
    assert!(serde_json::to_string(&nested(MAX_DEPTH)).is_ok());
    assert!(serde_json::to_string(&nested(MAX_DEPTH + 1)).is_err());
}

/// Half a million keys must not take quadratic time, nor must deep values be compared key by key.
#[test]
fn many_keys_are_read_in_time() {
    let keys: Vec<String> = (0..100_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let text = format!("{{{}}}", keys.join(","));
    assert_eq!(again(&text), text);
}
