//! Header blocks (HPACK, RFC 7541): read with the table that all blocks of a connection share, and
//! written without one.

use loona_hpack::Decoder;
use loona_hpack::decoder::DecoderError;
use thiserror::Error;
use tonic::codegen::http::uri::Authority;

/// What the server is called by whoever has no name for it.
const LOCALHOST: &[u8] = b"localhost";
/// The size of the client's table: the default, because h2 tells it no other
/// (SETTINGS_HEADER_TABLE_SIZE).
const TABLE: usize = 4096;
/// The largest list of fields that is taken, each counted with 32 bytes beside its text (RFC 9113,
/// 6.5.2): what hyper tells clients by default. A call of kubelet has some 300 bytes; one byte of a
/// block can stand for a field of 4 KiB.
const MAX_LIST: usize = super::frame::MAX_PAYLOAD;
const FIELD_OVERHEAD: usize = 32;

/// A literal field that no table keeps, and whose name is written out (6.2.2).
const LITERAL: u8 = 0x00;
/// How large a length can be in its first byte, which also says that the text is not Huffman's (5.2).
const LENGTH_PREFIX: usize = 0x7f;

/// Why a header block is refused.
#[derive(Debug, Error)]
pub(super) enum BlockError {
    /// It is no HPACK.
    #[error("a header block cannot be decoded")]
    Malformed(#[from] DecoderError),
    /// It stands for more than [`MAX_LIST`].
    #[error("a header block has {size} bytes when decoded; {MAX_LIST} are allowed")]
    TooLarge {
        /// Its size.
        size: usize,
    },
}

/// The reader of one connection's blocks.
pub(super) struct Blocks(Decoder<'static>);

impl Blocks {
    pub(super) fn new() -> Blocks {
        let mut decoder = Decoder::new();
        decoder.set_max_allowed_table_size(TABLE);
        Blocks(decoder)
    }

    /// The block with an authority that can be one. It needs no table, and fits into a frame: each
    /// field takes less than it is counted for.
    pub(super) fn rewrite(&mut self, block: &[u8]) -> Result<Vec<u8>, BlockError> {
        let mut written = Vec::with_capacity(2 * block.len());
        let mut size = 0_usize;
        self.0.decode_with_cb(block, |name, value| {
            size = size.saturating_add(name.len() + value.len() + FIELD_OVERHEAD);
            // The rest is still read, because it changes the table, but costs no memory.
            if size <= MAX_LIST {
                write_field(&name, value_of(&name, &value), &mut written);
            }
        })?;
        match size <= MAX_LIST {
            true => Ok(written),
            false => Err(BlockError::TooLarge { size }),
        }
    }
}

fn value_of<'v>(name: &[u8], value: &'v [u8]) -> &'v [u8] {
    match name == b":authority" && Authority::try_from(value).is_err() {
        true => LOCALHOST,
        false => value,
    }
}

fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.push(LITERAL);
    write_text(name, out);
    write_text(value, out);
}

fn write_text(text: &[u8], out: &mut Vec<u8>) {
    write_length(text.len(), out);
    out.extend_from_slice(text);
}

/// An integer with a prefix of seven bits (5.1).
fn write_length(length: usize, out: &mut Vec<u8>) {
    let byte = |value: usize| u8::try_from(value).expect("seven bits, or eight");
    if length < LENGTH_PREFIX {
        out.push(byte(length));
        return;
    }
    out.push(byte(LENGTH_PREFIX));
    let mut rest = length - LENGTH_PREFIX;
    while rest >= 0x80 {
        out.push(byte(rest & 0x7f | 0x80));
        rest >>= 7;
    }
    out.push(byte(rest));
}

#[cfg(test)]
mod tests {
    use loona_hpack::Encoder;

    use super::*;

    type Field<'f> = (&'f [u8], &'f [u8]);

    fn read(block: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        Decoder::new().decode(block).expect("a block")
    }

    fn authority_of(sent: &[u8]) -> Vec<u8> {
        let fields: [Field<'_>; 2] = [(b":method", b"POST"), (b":authority", sent)];
        let block = Encoder::new().encode(fields);
        let written = Blocks::new().rewrite(&block).expect("a block");
        let fields = read(&written);
        assert_eq!(fields[0], (b":method".to_vec(), b"POST".to_vec()));
        assert_eq!(fields[1].0, b":authority");
        fields[1].1.clone()
    }

    #[test]
    fn an_authority_that_is_none_becomes_localhost_and_every_other_stays() {
        for path in [
            &b"%2Fvar%2Flib%2Fkubelet%2Fplugins_registry%2Fa-reg.sock"[..],
            b"/var/lib/kubelet/plugins/a/csi.sock",
            b"",
            b"a b",
            b"\xff",
        ] {
            assert_eq!(authority_of(path), b"localhost", "{path:?}");
        }
        for name in [
            &b"localhost"[..],
            b"node-1:50051",
            b"[::1]:4420",
            b"csi.sock",
        ] {
            assert_eq!(authority_of(name), name);
        }
    }

    #[test]
    fn fields_of_an_earlier_block_are_known_and_are_written_out() {
        // A literal that the table keeps, named by entry 1, and then that entry alone (6.1, 6.2.1).
        let first = [&[0x41, 4][..], b"%2Fa"].concat();
        let mut blocks = Blocks::new();
        let first = blocks.rewrite(&first).expect("a block");
        let second = blocks.rewrite(&[0x80 | 62]).expect("a block");
        assert_eq!(first, second);
        assert_eq!(
            read(&second),
            [(b":authority".to_vec(), b"localhost".to_vec())]
        );
    }

    #[test]
    fn a_text_of_any_length_is_read_back() {
        for length in [0, 1, 126, 127, 128, 254, 255, 16_000] {
            let value = vec![b'x'; length];
            let mut block = Vec::new();
            write_field(b"a", &value, &mut block);
            assert_eq!(read(&block), [(b"a".to_vec(), value)], "{length}");
        }
    }

    #[test]
    fn a_list_that_grows_out_of_few_bytes_is_refused_and_never_kept() {
        let value = vec![b'x'; 3_000];
        let mut block = Encoder::new().encode([(&b"a"[..], &value[..])]);
        // The first entry of the client's table, again and again.
        block.extend([0x80 | 62; 40]);
        let error = Blocks::new().rewrite(&block).expect_err("too large");
        assert!(matches!(error, BlockError::TooLarge { size } if size > 41 * 3_000));
    }

    #[test]
    fn a_table_larger_than_was_offered_is_refused() {
        // A size update (6.3) to 4097, and to 4096.
        for (update, taken) in [([0x3f, 0xe2, 0x1f], false), ([0x3f, 0xe1, 0x1f], true)] {
            let mut block = update.to_vec();
            block.push(0x82);
            assert_eq!(Blocks::new().rewrite(&block).is_ok(), taken, "{update:?}");
        }
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        for garbage in [
            &[0x80][..],
            &[0xff],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x40],
            &[0x40, 0x7f],
            &[0x00, 0x01],
            &[0xbe],
            &[0x40, 0x81, 0xff, 0x00],
        ] {
            Blocks::new().rewrite(garbage).expect_err("garbage");
        }
    }
}
