//! V8 is the judge.

use serde_json::json;

use super::super::super::oracle::Random;
use super::super::super::oracle::ask_v8;
use super::super::civil_from_days;
use super::*;

const ZONES: [&str; 6] = [
    "UTC",
    "Asia/Tokyo",
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
];

fn compare(name: &str, texts: &[String]) -> usize {
    let zone = Zone::named(name).expect("a bundled zone");
    let questions: Vec<_> = texts.iter().map(|text| json!(["parse", text])).collect();
    let mut dates = 0;
    for (text, answer) in texts.iter().zip(ask_v8(name, &questions)) {
        let time = parse(text, &zone);
        assert_eq!(json!(time), answer, "{text:?} in {name}");
        dates += usize::from(time.is_some());
    }
    dates
}

#[test]
fn known_texts_are_read_as_by_v8() {
    let texts = [
        "2025",
        "2025-07",
        "2025-07-01",
        "2025-7-1",
        "2025-07-01T12:00:00Z",
        "2025-07-01T12:00",
        "2025-07-01 12:00",
        "2025-07-01T24:00:00Z",
        "2025-07-01T24:00:01Z",
        "2025-07-01T12:00:00.1234567+0530",
        "2025-07-01T12:00:00+05:30",
        "2025-07-01T12:00:00-00:00",
        "2025-07-01T",
        "2025-07-01Z",
        "2025-07-01t10:00z",
        "2025-02-30",
        "2025-02-30T00:00Z",
        "2025-13-01",
        "2025-07-32",
        "+002025-07-01",
        "-000001-01-01",
        "-000000-01-01",
        "+275760-09-13",
        "+275760-09-13T00:00:00.001Z",
        "+275760-09-14",
        "-271821-04-20",
        "-271821-04-19",
        "+999999-01-01",
        "June 1 2025",
        "1 June 2025",
        "jun 1, 2025",
        "Junebug 1 2025",
        "Tue, 01 Jul 2025 10:00:00 GMT",
        "Tue, 01 Jul 2025 10:00:00 +0200",
        "Tue Jul 01 2025 10:00:00 GMT+0200 (Central European Summer Time)",
        "2025/07/01",
        "2025/7/1 5:06",
        "7/1/2025",
        "7/1/25",
        "7/1/49",
        "7/1/50",
        "7/1",
        "13/1/2025",
        "0",
        "1",
        "12",
        "13",
        "31",
        "32",
        "49",
        "50",
        "99",
        "100",
        "275760",
        "275761",
        "12 pm",
        "2025-07-01 12:00 am",
        "2025-07-01 12:00 pm",
        "2025-07-01 13:00 pm",
        "2025-07-01 1:00PM",
        "2025-07-01 10:00 EST",
        "2025-07-01 10:00 est5",
        "10:00 2025-07-01",
        "",
        " ",
        "x",
        "today",
        "1x",
        "x1",
        "x 1",
        "(x) 1",
        "1 (x",
        "1)",
        "1 - 2",
        "2025-07-01 10:00:00.5",
        "2025-07-01 10:00.5",
        "2025-07-01 10::30",
        "2025-07-01 :30",
        "2025-07-01 10:00 -5",
        "2025-07-01 10:00 +0530",
        "2025-07-01 10:00 +05:30",
        "2025-07-01 10:00 +053",
        "2025-07-01 10:00 +05301",
        "2025-07-01 -5",
        "2025-07-01+5",
        "Z 2025",
        "2025 Z",
        "2025 UTC+5",
        "2025 GMT-8:30",
        "1 2 3 4",
        "2025 July",
        "July",
        "July 2025",
        "Jul 32 2025",
        "000000000012",
        "1234567890123",
        "2025-07-01T10:00:00,5Z",
        "Fri, 1 Jul 2025 25:00",
        "1e3",
        "NaN",
        "null",
        "2025-07-01\u{a0}10:00",
        "\u{feff}2025-07-01",
        "2025-07-01\u{2028}",
        "2025-07-01é",
        "1 é",
        "😀 1",
        "😀1",
        "2025-03-09 02:30",
        "2025-11-02 01:30",
        "2025-10-05T02:15",
        "2025-04-06T01:45",
        "1883-11-18T12:03:58",
        "1900-01-01",
        "1900-01-01T00:00",
        "1 Jan 1900",
        "Jan 1 0001",
        "+012025-07-01T00:00",
        "-001000-07-01T00:00",
        "[object Object]",
        "2025-07-01,2025-07-02",
        "2025-06-30T23:59:60Z",
        "1\u{0}2",
    ];
    let texts: Vec<String> = texts.map(str::to_owned).to_vec();
    for zone in ZONES {
        assert!(compare(zone, &texts) > 50);
    }
}

#[test]
fn generated_texts_are_read_as_by_v8() {
    const PARTS: [&str; 44] = [
        "2025",
        "07",
        "01",
        "1",
        "12",
        "31",
        "24",
        "00",
        "59",
        "60",
        "99",
        "100",
        "000",
        "0530",
        "123456",
        "1234567890",
        "-",
        "-",
        "-",
        "+",
        ":",
        ":",
        ":",
        ".",
        "/",
        ",",
        " ",
        " ",
        " ",
        "T",
        "Z",
        "(",
        ")",
        "Jul",
        "july",
        "Mon",
        "GMT",
        "EST",
        "am",
        "PM",
        "x",
        "é",
        "  ",
        "t",
    ];
    let mut random = Random::new(2025);
    for zone in ZONES {
        let texts: Vec<String> = (0..8000)
            .map(|_| {
                let count = 1 + random.below(9);
                (0..count).map(|_| *random.pick(&PARTS)).collect()
            })
            .collect();
        let dates = compare(zone, &texts);
        assert!(dates > 500, "{dates}");
    }
}

#[test]
fn spoiled_dates_are_read_as_by_v8() {
    const SEEDS: [&str; 6] = [
        "2025-07-01T10:20:30.456Z",
        "2025-11-02T01:30:00",
        "2025-03-09 02:30:15.5 +0100",
        "Tue, 01 Jul 2025 10:00:00 GMT",
        "July 1, 2025 10:00 PM EST",
        "+002025-07-01T10:20:30.456+05:30",
    ];
    let letters: Vec<char> = "0123456789-+:. TZ(/),ape".chars().collect();
    let mut random = Random::new(36);
    for zone in ZONES {
        let texts: Vec<String> = (0..6000)
            .map(|_| {
                let mut text: Vec<char> = random.pick(&SEEDS).chars().collect();
                for _ in 0..1 + random.below(3) {
                    let at = random.below(text.len());
                    let letter = *random.pick(&letters);
                    match random.below(3) {
                        0 => drop(text.remove(at)),
                        1 => text.insert(at, letter),
                        _ => text[at] = letter,
                    }
                }
                text.into_iter().collect()
            })
            .collect();
        compare(zone, &texts);
    }
}

#[test]
fn clocks_show_what_those_of_v8_show() {
    let mut random = Random::new(60);
    for name in ZONES {
        let zone = Zone::named(name).expect("a bundled zone");
        let times: Vec<i64> = (0..3000)
            .map(|number| {
                let spread = if number % 3 == 0 {
                    200_000_000
                } else {
                    3_000_000
                };
                (random.below(spread) as i64 - 100_000 * (number % 2)) * 1_000_003
            })
            .collect();
        let questions: Vec<_> = times.iter().map(|time| json!(["local", time])).collect();
        for (time, answer) in times.iter().zip(ask_v8(name, &questions)) {
            let local = time + zone.offset(*time);
            let (year, month, _) = civil_from_days(local.div_euclid(MILLISECONDS_A_DAY));
            let hour = local.rem_euclid(MILLISECONDS_A_DAY) / 3_600_000;
            assert_eq!(json!([year, month, hour]), answer, "{time} in {name}");
        }
    }
}
