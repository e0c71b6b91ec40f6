//! What a client may say, and the exact answers. No I/O.

use serde_json::Value;
use time::OffsetDateTime;

use super::json_text::{fields, trim};

/// A message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClientMessage {
    GetState,
    Heartbeat,
    CreateCelestialBody {
        body_type: String,
        /// The body as JSON text.
        body: String,
    },
    SaveGame(GameState),
}

/// What a player has: each part is the JSON text in which the client sent it, so that numbers and the order of keys
/// come back as they were saved, whichever side reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GameState {
    pub(super) resources: String,
    /// An array; without elements it is `[]`.
    pub(super) celestial_bodies: String,
    pub(super) research: String,
    pub(super) statistics: String,
}

/// What a new player has.
impl Default for GameState {
    fn default() -> Self {
        Self {
            resources: "{}".to_owned(),
            celestial_bodies: "[]".to_owned(),
            research: "{}".to_owned(),
            statistics: "{}".to_owned(),
        }
    }
}

impl ClientMessage {
    /// `None` if it is not in the format.
    ///
    /// The original is a serde enum with `type` and `data` beside one another. Its rules are kept: unknown keys are
    /// ignored, known ones may not come twice, an array may stand for an object but not directly below `data`, and a
    /// message without fields takes no data but `null`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let [message_type, data] = fields(text, ["type", "data"])?;
        let message_type: String = serde_json::from_str(message_type?).ok()?;
        match message_type.as_str() {
            "GetState" => is_absent(data).then_some(Self::GetState),
            "Heartbeat" => is_absent(data).then_some(Self::Heartbeat),
            "CreateCelestialBody" => Self::parse_create(data?),
            "SaveGame" => Self::parse_save(data?),
            _ => None,
        }
    }

    fn parse_create(data: &str) -> Option<Self> {
        let [Some(body_type), Some(position)] = object_fields(data, ["body_type", "position"])?
        else {
            return None;
        };
        let [Some(x), Some(y), Some(z)] = fields(position, ["x", "y", "z"])? else {
            return None;
        };
        [x, y, z].into_iter().all(is_number).then_some(())?;
        Some(Self::CreateCelestialBody {
            body: format!(r#"{{"body_type":{body_type},"position":{{"x":{x},"y":{y},"z":{z}}}}}"#),
            body_type: serde_json::from_str(body_type).ok()?,
        })
    }

    fn parse_save(data: &str) -> Option<Self> {
        let [state] = object_fields(data, ["state"])?;
        let names = ["resources", "celestial_bodies", "research", "statistics"];
        let [
            Some(resources),
            Some(bodies),
            Some(research),
            Some(statistics),
        ] = fields(state?, names)?
        else {
            return None;
        };
        let elements = bodies.strip_prefix('[')?.strip_suffix(']')?;
        let bodies = if trim(elements).is_empty() {
            "[]"
        } else {
            bodies
        };
        Some(Self::SaveGame(GameState {
            resources: resources.to_owned(),
            celestial_bodies: bodies.to_owned(),
            research: research.to_owned(),
            statistics: statistics.to_owned(),
        }))
    }
}

fn is_absent(data: Option<&str>) -> bool {
    matches!(data, None | Some("null"))
}

fn object_fields<'t, const N: usize>(
    text: &'t str,
    names: [&str; N],
) -> Option<[Option<&'t str>; N]> {
    text.starts_with('{').then(|| fields(text, names))?
}

/// 1e999 is JSON, but beyond what a number can hold.
fn is_number(text: &str) -> bool {
    serde_json::from_str::<f64>(text).is_ok()
}

pub(super) const HEARTBEAT: &str = r#"{"type":"Heartbeat"}"#;

pub(super) const GAME_SAVED: &str =
    r#"{"type":"ActionResult","data":{"success":true,"message":"ゲームを保存しました"}}"#;

pub(super) const AUTH_REQUIRED: &str =
    r#"{"type":"Error","data":{"code":"AUTH_REQUIRED","message":"認証が必要です"}}"#;

pub(super) const INVALID_FORMAT: &str = r#"{"type":"Error","data":{"code":"INVALID_FORMAT","message":"メッセージフォーマットが正しくありません"}}"#;

pub(super) const BINARY_NOT_SUPPORTED: &str = r#"{"type":"Error","data":{"code":"BINARY_NOT_SUPPORTED","message":"バイナリメッセージはサポートされていません"}}"#;

/// The original had no storage that could fail; this answer is an invention, made on both sides.
pub(super) const INTERNAL_ERROR: &str =
    r#"{"type":"Error","data":{"code":"INTERNAL_ERROR","message":"サーバーエラーが発生しました"}}"#;

pub(super) fn body_created(body_type: &str) -> String {
    let message = Value::from(format!("天体「{body_type}」を作成しました"));
    format!(r#"{{"type":"ActionResult","data":{{"success":true,"message":{message}}}}}"#)
}

/// The whole state, as of `now`.
pub(super) fn state_update(state: &GameState, now: OffsetDateTime) -> String {
    let GameState {
        resources,
        celestial_bodies,
        research,
        statistics,
    } = state;
    let timestamp = timestamp(now);
    format!(
        r#"{{"type":"StateUpdate","data":{{"full":true,"data":{{"game_state":{{"resources":{resources},"celestial_bodies":{celestial_bodies},"research":{research},"statistics":{statistics}}},"timestamp":"{timestamp}"}}}}}}"#
    )
}

/// RFC 3339 as the original prints it: in UTC, with no, 3, 6 or 9 digits of a second's fraction, as few as hold it.
fn timestamp(now: OffsetDateTime) -> String {
    let (year, month, day) = (now.year(), u8::from(now.month()), now.day());
    let (hour, minute, second) = (now.hour(), now.minute(), now.second());
    let fraction = match now.nanosecond() {
        0 => String::new(),
        nanoseconds if nanoseconds % 1_000_000 == 0 => format!(".{:03}", nanoseconds / 1_000_000),
        nanoseconds if nanoseconds % 1_000 == 0 => format!(".{:06}", nanoseconds / 1_000),
        nanoseconds => format!(".{nanoseconds:09}"),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    /// The original's own types: what serde makes of a text decides.
    #[derive(Debug, Deserialize)]
    #[serde(tag = "type", content = "data")]
    enum Original {
        GetState,
        Heartbeat,
        CreateCelestialBody {
            body_type: String,
            position: Position,
        },
        SaveGame {
            state: State,
        },
    }

    #[derive(Debug, Deserialize)]
    struct Position {
        x: f64,
        y: f64,
        z: f64,
    }

    #[derive(Debug, Deserialize)]
    struct State {
        resources: Value,
        celestial_bodies: Vec<Value>,
        research: Value,
        statistics: Value,
    }

    fn agrees(text: &str) {
        let ours = ClientMessage::parse(text);
        match (serde_json::from_str(text), &ours) {
            (Err(_), None)
            | (Ok(Original::GetState), Some(ClientMessage::GetState))
            | (Ok(Original::Heartbeat), Some(ClientMessage::Heartbeat)) => {}
            (
                Ok(Original::CreateCelestialBody {
                    body_type: expected,
                    position,
                }),
                Some(ClientMessage::CreateCelestialBody { body_type, body }),
            ) => {
                assert_eq!(*body_type, expected, "{text}");
                let body: Value = serde_json::from_str(body).expect("a body");
                let Position { x, y, z } = position;
                let coordinates = ["x", "y", "z"].map(|name| body["position"][name].as_f64());
                assert_eq!(body["body_type"], expected, "{text}");
                assert_eq!(coordinates, [Some(x), Some(y), Some(z)], "{text}");
            }
            (Ok(Original::SaveGame { state: expected }), Some(ClientMessage::SaveGame(state))) => {
                let parse = |text: &str| -> Value { serde_json::from_str(text).expect("JSON") };
                assert_eq!(parse(&state.resources), expected.resources, "{text}");
                assert_eq!(
                    parse(&state.celestial_bodies),
                    Value::from(expected.celestial_bodies)
                );
                assert_eq!(parse(&state.research), expected.research, "{text}");
                assert_eq!(parse(&state.statistics), expected.statistics, "{text}");
            }
            (original, _) => panic!("{text}: {original:?}, but {ours:?}"),
        }
    }

    #[test]
    fn the_contract_is_kept() {
        for text in [
            r#"{"type":"GetState"}"#,
            r#"{"type":"GetState","data":null}"#,
            r#"["GetState",null]"#,
            r#"{"data":null,"more":[{}],"\u0074ype":"Heartbeat"}"#,
            r#"{"type":"CreateCelestialBody","data":{"body_type":"Planet","position":{"x":100,"y":2.5e1,"z":-0}}}"#,
            r#"{"data":{"q":1,"position":[1,2,3],"body_type":"\u00e9"},"type":"CreateCelestialBody"}"#,
            r#"{"type":"SaveGame","data":{"state":{"resources":null,"celestial_bodies":[],"research":1,"statistics":"s"}}}"#,
            r#"{"type":"SaveGame","data":{"state":[{"b":1,"a":2},[[]],{},{}]}}"#,
        ] {
            assert!(ClientMessage::parse(text).is_some(), "{text}");
            agrees(text);
        }
        for text in [
            "",
            "null",
            r#""GetState""#,
            r#"["GetState"]"#,
            r#"["GetState",null,null]"#,
            r#"{"type":"getstate"}"#,
            r#"{"type":"Heartbeat","data":{"sequence":1}}"#,
            r#"{"type":"Heartbeat","data":[]}"#,
            r#"{"type":"Heartbeat","type":"Heartbeat"}"#,
            r#"{"type":"CreateCelestialBody"}"#,
            r#"{"type":"CreateCelestialBody","data":["Planet",{"x":1,"y":2,"z":3}]}"#,
            r#"{"type":"CreateCelestialBody","data":{"body_type":"Planet","position":{"x":"1","y":2,"z":3}}}"#,
            r#"{"type":"CreateCelestialBody","data":{"body_type":"Planet","position":{"x":1e999,"y":2,"z":3}}}"#,
            r#"{"type":"CreateCelestialBody","data":{"body_type":"\ud800","position":{"x":1,"y":2,"z":3}}}"#,
            r#"{"type":"SaveGame","data":{"state":{"resources":{},"celestial_bodies":null,"research":{},"statistics":{}}}}"#,
            r#"{"type":"SaveGame","data":{"state":{"resources":{},"celestial_bodies":[],"research":{}}}}"#,
        ] {
            assert!(ClientMessage::parse(text).is_none(), "{text}");
            agrees(text);
        }
    }

    /// Whatever JSON there is where the original would keep it as a value, comes back as it was.
    #[test]
    fn states_are_kept_as_texts() {
        let text = r#"{"type":"SaveGame","data":{"state":{"statistics": 1.0 ,"celestial_bodies":[ ],"resources":{"2":1e400,"1":"\ud800"},"research":{"a":1,"a":2}}}}"#;
        let Some(ClientMessage::SaveGame(state)) = ClientMessage::parse(text) else {
            panic!("{text} is refused");
        };
        let expected = GameState {
            resources: r#"{"2":1e400,"1":"\ud800"}"#.to_owned(),
            celestial_bodies: "[]".to_owned(),
            research: r#"{"a":1,"a":2}"#.to_owned(),
            statistics: "1.0".to_owned(),
        };
        assert_eq!(state, expected);
    }

    /// Small JSON texts in which the names of the format are likely. A message is not buffered here as serde buffers it
    /// when `data` comes before `type`, which only shows in numbers and text that no value can hold; there are none.
    fn json() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec![
            "type",
            "data",
            "body_type",
            "position",
            "x",
            "y",
            "z",
            "state",
            "resources",
            "celestial_bodies",
            "research",
            "statistics",
            "other",
        ]);
        let leaf = prop::sample::select(vec![
            "null",
            "1",
            "-2.5e3",
            "\"1\"",
            "\"GetState\"",
            "\"Heartbeat\"",
            "\"SaveGame\"",
            "[]",
            "{}",
            "[1,2,3]",
            "\"CreateCelestialBody\"",
            "{\"x\":1,\"y\":2,\"z\":3}",
            "true",
            "",
            "{\"resources\":{},\"celestial_bodies\":[],\"research\":{},\"statistics\":{}}",
        ])
        .prop_map(str::to_owned);
        leaf.prop_recursive(4, 32, 4, move |inner| {
            let member = (name.clone(), inner.clone()).prop_map(|(name, value)| format!("\"{name}\": {value}"));
            prop_oneof![
                4 => prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
                1 => prop::collection::vec(inner, 0..5).prop_map(|values| format!("[{}]", values.join(" , "))),
            ]
        })
    }

    fn message() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec![
            "GetState",
            "Heartbeat",
            "SaveGame",
            "CreateCelestialBody",
        ]);
        let position = prop_oneof![Just(r#""position":{"x":1,"y":2,"z":3},"#), Just("")];
        let state = prop_oneof![Just(r#""state":[1,[],2,3],"#), Just("")];
        prop_oneof![
            json(),
            (name.clone(), json())
                .prop_map(|(name, data)| format!(r#"{{"type":"{name}","data":{data}}}"#)),
            (name.clone(), json())
                .prop_map(|(name, data)| format!(r#"{{"data":{data},"type":"{name}"}}"#)),
            (name, position, state, json()).prop_map(|(name, position, state, value)| {
                format!(r#"["{name}",{{{position}{state}"body_type":"B","other":{value}}}]"#)
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_the_original_accepts_is_accepted(text in message()) {
            // Serde takes an object with the variant as its key for the tag, which no contract knows.
            prop_assume!(!text.contains("\"type\": {") && !text.starts_with("[{"));
            agrees(&text);
        }
    }

    fn moment(nanoseconds: i128) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).expect("a moment")
    }

    #[test]
    fn texts_are_exact() {
        let state = GameState::default();
        assert_eq!(
            state_update(&state, moment(1_736_330_400_123_456_789)),
            r#"{"type":"StateUpdate","data":{"full":true,"data":{"game_state":{"resources":{},"celestial_bodies":[],"research":{},"statistics":{}},"timestamp":"2025-01-08T10:00:00.123456789Z"}}}"#
        );
        assert_eq!(
            body_created("a\"\n\u{1f}/\u{2028}𠮷"),
            "{\"type\":\"ActionResult\",\"data\":{\"success\":true,\"message\":\"天体「a\\\"\\n\\u001f/\u{2028}𠮷」を作成しました\"}}"
        );
    }

    #[test]
    fn fractions_have_as_many_digits_as_they_need() {
        for (nanosecond, expected) in [
            (0, "1969-01-02T03:04:05Z"),
            (120_000_000, "1969-01-02T03:04:05.120Z"),
            (1_000, "1969-01-02T03:04:05.000001Z"),
            (1, "1969-01-02T03:04:05.000000001Z"),
        ] {
            let nanoseconds = -31_438_555 * 1_000_000_000 + nanosecond;
            assert_eq!(timestamp(moment(nanoseconds)), expected);
        }
    }
}
