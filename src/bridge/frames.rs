//! Finds the gaps between WebSocket frames without looking at what they carry.

/// Where in a stream of WebSocket frames (RFC 6455 §5.2) the next byte stands.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; 14],
    head_bytes: usize,
    payload: u64,
}

impl Frames {
    pub(super) fn is_between(&self) -> bool {
        self.head_bytes == 0 && self.payload == 0
    }

    pub(super) fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let skip = usize::try_from(self.payload)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                self.payload -= skip as u64;
                bytes = &bytes[skip..];
                continue;
            }
            self.head[self.head_bytes] = bytes[0];
            self.head_bytes += 1;
            bytes = &bytes[1..];
            if let Some(payload) = self.complete_head() {
                self.payload = payload;
                self.head_bytes = 0;
            }
        }
    }

    /// The payload's length, once the head is complete.
    fn complete_head(&self) -> Option<u64> {
        let head = &self.head[..self.head_bytes];
        let length = *head.get(1)?;
        let extended = match length & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if length & 0x80 == 0 { 0 } else { 4 };
        if head.len() < 2 + extended + mask {
            return None;
        }
        let extension = &head[2..2 + extended];
        Some(match extended {
            0 => u64::from(length & 0x7f),
            _ => extension
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text frame of `length` bytes.
    fn frame(length: usize, masked: bool) -> Vec<u8> {
        let mask_bit = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x81];
        match length {
            0..=125 => frame.push(mask_bit | u8::try_from(length).expect("small")),
            126..=65535 => {
                frame.push(mask_bit | 126);
                frame.extend(u16::try_from(length).expect("medium").to_be_bytes());
            }
            _ => {
                frame.push(mask_bit | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(std::iter::repeat_n(
            0x88,
            length + if masked { 4 } else { 0 },
        ));
        frame
    }

    #[test]
    fn knows_the_gaps_between_frames_however_they_are_cut() {
        for piece in [1, 2, 3, 7, 4096] {
            let mut frames = Frames::default();
            for (length, masked) in [
                (0, true),
                (125, false),
                (126, true),
                (65535, false),
                (65536, true),
                (0, false),
            ] {
                let bytes = frame(length, masked);
                let (last, start) = bytes.split_last().expect("a frame is not empty");
                for chunk in start.chunks(piece) {
                    frames.advance(chunk);
                }
                assert!(!frames.is_between(), "{length} {masked} {piece}");
                frames.advance(&[*last]);
                assert!(frames.is_between(), "{length} {masked} {piece}");
            }
        }
    }
}
