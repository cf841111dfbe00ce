//! Frames of AMQP 0-9-1: what a publisher sends and hears.
//!
//! ```text
//! type(1) channel(2) size(4) payload(size) 0xCE
//! ```

use bytes::{Buf, Bytes, BytesMut};

/// Before a connection is tuned, frames have at most this many bytes, and after it at least.
pub const FRAME_MIN_BYTES: usize = 4096;
/// What a frame has beside its payload.
pub const FRAMING_BYTES: usize = 8;
/// A `short string` has at most this many bytes.
pub const SHORT_MAX_BYTES: usize = 255;

const HEAD_BYTES: usize = 7;
const END: u8 = 0xCE;
const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;

/// The numbers of a method: its class and its own.
pub type Method = (u16, u16);

/// A frame that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A method and its arguments.
    Method {
        /// Of which channel; 0 is the connection.
        channel: u16,
        /// Which.
        method: Method,
        /// Still to be read.
        arguments: Arguments,
    },
    /// A sign of life, or content, which nobody sends to a publisher: nothing to do.
    Nothing,
}

/// What the other side sent is no AMQP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker's answer is no AMQP 0-9-1: {0}")]
pub struct Malformed(&'static str);

/// Takes the first frame off what has arrived; none while it is not whole.
///
/// # Errors
/// [`Malformed`], also for a frame of more than `frame_max_bytes`.
pub fn decode(arrived: &mut BytesMut, frame_max_bytes: usize) -> Result<Option<Frame>, Malformed> {
    let Some(head) = arrived.first_chunk::<HEAD_BYTES>() else {
        return Ok(None);
    };
    let [kind, c1, c0, s3, s2, s1, s0] = *head;
    let size = u32::from_be_bytes([s3, s2, s1, s0]) as usize;
    if size > frame_max_bytes.saturating_sub(FRAMING_BYTES) {
        return Err(Malformed("a frame is larger than agreed"));
    }
    if arrived.len() < FRAMING_BYTES + size {
        return Ok(None);
    }
    let mut frame = arrived.split_to(FRAMING_BYTES + size).freeze();
    if frame[HEAD_BYTES + size] != END {
        return Err(Malformed("a frame has no end"));
    }
    frame.truncate(HEAD_BYTES + size);
    frame.advance(HEAD_BYTES);
    let mut arguments = Arguments(frame);
    match kind {
        METHOD => Ok(Some(Frame::Method {
            channel: u16::from_be_bytes([c1, c0]),
            method: (arguments.u16()?, arguments.u16()?),
            arguments,
        })),
        HEADER | BODY | HEARTBEAT => Ok(Some(Frame::Nothing)),
        _ => Err(Malformed("a frame is of no known type")),
    }
}

/// The arguments of a method, read in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments(Bytes);

#[expect(missing_docs, reason = "the names are those of the types")]
impl Arguments {
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.0.try_get_u8().map_err(|_| SHORT)
    }

    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.0.try_get_u16().map_err(|_| SHORT)
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.0.try_get_u32().map_err(|_| SHORT)
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.0.try_get_u64().map_err(|_| SHORT)
    }

    pub fn short_text(&mut self) -> Result<String, Malformed> {
        let len = usize::from(self.u8()?);
        self.bytes(len)
    }

    pub fn long_text(&mut self) -> Result<String, Malformed> {
        let len = self.u32()? as usize;
        self.bytes(len)
    }

    /// Passes a table over.
    pub fn table(&mut self) -> Result<(), Malformed> {
        self.long_text().map(drop)
    }

    fn bytes(&mut self, len: usize) -> Result<String, Malformed> {
        if len > self.0.len() {
            return Err(SHORT);
        }
        let bytes = self.0.split_to(len);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

const SHORT: Malformed = Malformed("a method lacks arguments");

/// Frames to be sent, put together in one buffer.
#[derive(Debug, Default)]
pub struct Frames(pub Vec<u8>);

impl Frames {
    /// A method with what `arguments` writes.
    pub fn method(&mut self, channel: u16, method: Method, arguments: impl FnOnce(&mut Writer)) {
        self.frame(METHOD, channel, |out| {
            out.u16(method.0).u16(method.1);
            arguments(out);
        });
    }

    /// The header of a content of that class and length; `properties` writes flags and values.
    pub fn header(
        &mut self,
        channel: u16,
        class: u16,
        len: usize,
        properties: impl FnOnce(&mut Writer),
    ) {
        self.frame(HEADER, channel, |out| {
            out.u16(class).u16(0).u64(len as u64);
            properties(out);
        });
    }

    /// The content, in as many frames as it takes.
    pub fn body(&mut self, channel: u16, content: &[u8], frame_max_bytes: usize) {
        for piece in content.chunks(frame_max_bytes - FRAMING_BYTES) {
            self.frame(BODY, channel, |out| out.0.extend_from_slice(piece));
        }
    }

    /// A sign of life.
    pub fn heartbeat(&mut self) {
        self.frame(HEARTBEAT, 0, |_| {});
    }

    fn frame(&mut self, kind: u8, channel: u16, payload: impl FnOnce(&mut Writer)) {
        let mut out = Writer(std::mem::take(&mut self.0));
        out.u8(kind).u16(channel);
        out.sized(payload);
        out.u8(END);
        self.0 = out.0;
    }
}

/// Writes values.
#[derive(Debug)]
pub struct Writer(Vec<u8>);

#[expect(missing_docs, reason = "the names are those of the types")]
impl Writer {
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// At most [`SHORT_MAX_BYTES`]; more are cut, where no name of ours comes near.
    pub fn short_text(&mut self, text: &str) -> &mut Self {
        let bytes = &text.as_bytes()[..text.len().min(SHORT_MAX_BYTES)];
        self.u8(bytes.len() as u8);
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn long_text(&mut self, text: &str) -> &mut Self {
        self.sized(|out| out.0.extend_from_slice(text.as_bytes()))
    }

    /// A table: `entries` writes names and values.
    pub fn table(&mut self, entries: impl FnOnce(&mut Self)) -> &mut Self {
        self.sized(entries)
    }

    /// An entry of a table.
    pub fn text_entry(&mut self, name: &str, value: &str) -> &mut Self {
        self.short_text(name).u8(b'S').long_text(value)
    }

    /// An entry of a table.
    pub fn true_entry(&mut self, name: &str) -> &mut Self {
        self.short_text(name).u8(b't').u8(1)
    }

    /// An entry of a table.
    pub fn table_entry(&mut self, name: &str, entries: impl FnOnce(&mut Self)) -> &mut Self {
        self.short_text(name).u8(b'F').table(entries)
    }

    /// What is written, after its length.
    fn sized(&mut self, write: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.0.len();
        self.u32(0);
        write(self);
        let len = (self.0.len() - at - 4) as u32;
        self.0[at..at + 4].copy_from_slice(&len.to_be_bytes());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(channel: u16, method: Method, write: impl FnOnce(&mut Writer)) -> BytesMut {
        let mut frames = Frames::default();
        frames.method(channel, method, write);
        BytesMut::from(frames.0.as_slice())
    }

    #[test]
    fn a_method_reads_back() {
        let mut bytes = method(1, (60, 80), |out| {
            out.u64(7).u8(1).short_text("key").long_text("text");
            out.table(|table| {
                table.text_entry("a", "b").true_entry("c");
            });
        });
        let decoded = decode(&mut bytes, FRAME_MIN_BYTES).unwrap().unwrap();
        let Frame::Method {
            channel,
            method,
            mut arguments,
        } = decoded
        else {
            panic!("{decoded:?}");
        };
        assert_eq!((channel, method), (1, (60, 80)));
        assert_eq!(arguments.u64(), Ok(7));
        assert_eq!(arguments.u8(), Ok(1));
        assert_eq!(arguments.short_text().unwrap(), "key");
        assert_eq!(arguments.long_text().unwrap(), "text");
        assert_eq!(arguments.table(), Ok(()));
        assert_eq!(arguments.u8(), Err(SHORT));
        assert!(bytes.is_empty());
    }

    #[test]
    fn a_frame_comes_in_pieces() {
        let whole = method(0, (10, 50), |out| {
            out.u16(320);
        });
        for len in 0..whole.len() {
            let mut piece = BytesMut::from(&whole[..len]);
            assert_eq!(decode(&mut piece, FRAME_MIN_BYTES), Ok(None));
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let mut large = BytesMut::from(&[METHOD, 0, 0, 0xff, 0, 0, 0][..]);
        assert!(decode(&mut large, FRAME_MIN_BYTES).is_err());
        let mut strange = BytesMut::from(&b"HTTP/1.1 400 Bad Request"[..]);
        assert!(decode(&mut strange, FRAME_MIN_BYTES).is_err());
        let mut endless = method(0, (10, 50), |_| {});
        *endless.last_mut().unwrap() = 0;
        assert!(decode(&mut endless, FRAME_MIN_BYTES).is_err());
    }

    #[test]
    fn a_body_is_cut_into_frames() {
        let mut frames = Frames::default();
        frames.body(1, &[7; 10], FRAMING_BYTES + 4);
        assert_eq!(frames.0.len(), 10 + 3 * FRAMING_BYTES);
    }
}
