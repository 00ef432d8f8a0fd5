//! Messages to bytes and back, in buffers of the size that messages of this protocol have.
//!
//! A call takes a buffer for each direction when it begins. kubelet may ask about every volume at
//! once, and memory that the plugin has once used it keeps: tonic's usual 8 KiB would make a
//! mebibyte for sixty-four calls, of which a message fills some hundred bytes.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// Bytes at first and by which a buffer grows.
const SIZE: usize = 1024;
/// Bytes above which a stream of messages is sent on; every answer here is one message.
const SENT_ABOVE: usize = 32 * 1024;

/// The encoding of protocol buffers; `T` is what is sent, `U` what is received.
#[derive(Debug)]
pub struct SmallCodec<T, U> {
    of: PhantomData<(T, U)>,
}

impl<T, U> Default for SmallCodec<T, U> {
    fn default() -> Self {
        SmallCodec { of: PhantomData }
    }
}

impl<T, U> Codec for SmallCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(buffers())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(buffers())
    }
}

fn buffers() -> BufferSettings {
    BufferSettings::new(SIZE, SENT_ABOVE)
}
