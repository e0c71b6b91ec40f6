//! Which clients belong to a share: a fixed number for each value of `sticky`.

use std::net::IpAddr;

use crate::routing::select::Value;

impl Value<'_> {
    /// The same for equal values, in every version: 0 to 9,999. A client that is inside of a share is inside of
    /// every larger one, and since the rule is no part of it, the same clients are the early ones everywhere.
    pub fn bucket(&self) -> u16 {
        match self {
            Self::Text(text) => bucket(text.as_bytes()),
            // Adding zero makes -0 and 0 the same, which they are in JavaScript.
            Self::Number(number) => bucket(&(number + 0.0).to_bits().to_be_bytes()),
            Self::Bool(value) => bucket(&[u8::from(*value)]),
            Self::Address(IpAddr::V4(address)) => bucket(&address.octets()),
            Self::Address(IpAddr::V6(address)) => bucket(&address.octets()),
        }
    }
}

/// FNV-1a, then the final mix of `MurmurHash3`, since FNV alone spreads short inputs badly into the upper bits.
fn bucket(value: &[u8]) -> u16 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in value {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    u16::try_from((u128::from(hash) * 10_000) >> 64).unwrap_or(9_999)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    /// These numbers decide which clients are in a canary: they may never change.
    #[test]
    fn buckets_stay_the_same_for_ever() {
        let of_text = |text: &'static str| Value::Text(Cow::Borrowed(text)).bucket();
        assert_eq!(
            [of_text(""), of_text("a"), of_text("b"), of_text("client-1")],
            PINNED_TEXT
        );
        let of_address = |address: &str| Value::Address(address.parse().unwrap()).bucket();
        assert_eq!(
            [
                of_address("127.0.0.1"),
                of_address("172.18.21.102"),
                of_address("::1")
            ],
            PINNED_ADDRESS
        );
        assert_eq!(
            [Value::Number(36.0).bucket(), Value::Bool(true).bucket()],
            PINNED_OTHER
        );
        assert_eq!(Value::Number(0.0).bucket(), Value::Number(-0.0).bucket());
    }

    const PINNED_TEXT: [u16; 4] = [9367, 5102, 4312, 9735];
    const PINNED_ADDRESS: [u16; 3] = [8856, 6565, 7084];
    const PINNED_OTHER: [u16; 2] = [8649, 526];

    #[test]
    fn buckets_are_uniform() {
        let addresses =
            (0..100_000_u32).map(|n| Value::Address(IpAddr::from((0x0a00_0000 + n).to_be_bytes())));
        let names = (0..100_000).map(|n| Value::Text(Cow::Owned(format!("user-{n}"))));
        let values: [Box<dyn Iterator<Item = Value<'_>>>; 2] =
            [Box::new(addresses), Box::new(names)];
        for values in values {
            let mut counts = [0_i32; 100];
            for value in values {
                counts[usize::from(value.bucket()) / 100] += 1;
            }
            // A thousand expected in each, standard deviation 31.
            assert!(
                counts.iter().all(|count| (count - 1000).abs() < 160),
                "{counts:?}"
            );
        }
    }
}
