//! Frames of HTTP/2 (RFC 9113, 4.1 and 6), as far as header blocks need them.

/// Bytes before the payload of every frame.
pub(super) const HEADER: usize = 9;
/// The largest payload that is taken, and sent: what a peer may send that was told nothing else
/// (SETTINGS_MAX_FRAME_SIZE; h2 tells nothing else here).
pub(super) const MAX_PAYLOAD: usize = 16_384;

pub(super) const HEADERS: u8 = 0x1;
pub(super) const CONTINUATION: u8 = 0x9;

pub(super) const END_STREAM: u8 = 0x01;
pub(super) const END_HEADERS: u8 = 0x04;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;

/// The stream it depends on and its weight: deprecated, and of no meaning to h2.
const PRIORITY_FIELDS: usize = 5;

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Bytes of payload.
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Frame {
    /// Reads it.
    pub(super) fn parse(bytes: [u8; HEADER]) -> Frame {
        let [l2, l1, l0, kind, flags, s3, s2, s1, s0] = bytes;
        Frame {
            length: (usize::from(l2) << 16) | (usize::from(l1) << 8) | usize::from(l0),
            kind,
            flags,
            // The highest bit is reserved.
            stream: u32::from_be_bytes([s3 & 0x7f, s2, s1, s0]),
        }
    }

    /// Writes it behind `out`.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        let [_, l2, l1, l0] = u32::try_from(self.length)
            .expect("a payload has at most 2^24 - 1 bytes")
            .to_be_bytes();
        out.extend([l2, l1, l0, self.kind, self.flags]);
        out.extend(self.stream.to_be_bytes());
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The part of a HEADERS frame's payload that belongs to the header block; absent if the padding
    /// is longer than the payload.
    pub(super) fn fragment(self, payload: &[u8]) -> Option<&[u8]> {
        let (padding, rest) = match self.has(PADDED) {
            true => {
                let (length, rest) = payload.split_first()?;
                (usize::from(*length), rest)
            }
            false => (0, payload),
        };
        let rest = match self.has(PRIORITY) {
            true => rest.get(PRIORITY_FIELDS..)?,
            false => rest,
        };
        rest.get(..rest.len().checked_sub(padding)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_written_as_it_was_read() {
        let bytes = [0x01, 0x02, 0x03, HEADERS, END_HEADERS, 0, 0, 0x12, 0x34];
        let frame = Frame::parse(bytes);
        assert_eq!((frame.length, frame.stream), (0x010203, 0x1234));
        let mut out = Vec::new();
        frame.write(&mut out);
        assert_eq!(out, bytes);
    }

    #[test]
    fn padding_and_priority_are_no_part_of_the_block() {
        let frame = |flags| Frame {
            length: 0,
            kind: HEADERS,
            flags,
            stream: 1,
        };
        let payload = [2, 0, 0, 0, 0, 9, b'a', b'b', 0, 0];
        let both = frame(PADDED | PRIORITY);
        assert_eq!(both.fragment(&payload), Some(&b"ab"[..]));
        assert_eq!(frame(0).fragment(b"ab"), Some(&b"ab"[..]));
        assert_eq!(frame(PADDED).fragment(&[1, b'a']), Some(&b""[..]));
        for (flags, payload) in [
            (PADDED, &[][..]),
            (PADDED, &[1]),
            (PADDED, &[3, 0, 0]),
            (PRIORITY, &[0; 4]),
            (PADDED | PRIORITY, &[1, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(frame(flags).fragment(payload), None, "{flags} {payload:?}");
        }
    }
}
