//! Kafka: as much of its protocol as a producer and a consumer of one partition need.
//!
//! Requests of versions before the flexible ones: `Metadata` 4, `Produce` 7, `Fetch` 4. Records go
//! in batches of format 2 with their CRC-32C, as any client sends them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Name of the topic. One chat is one key, so one partition.
pub const TOPIC: &str = "positions";

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const METADATA: i16 = 3;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest that the broker waits for records before it answers with none, milliseconds.
const FETCH_WAIT_MS: i32 = 1_000;

/// Most bytes of records that are asked for at once.
const FETCH_BYTES_MAX: i32 = 16 << 20;

/// Most bytes of one answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Bytes of a batch's header, from the base offset to the number of records.
const BATCH_HEADER_BYTES: usize = 61;

/// Bytes of it in front of what its CRC covers.
const CRC_COVERS_FROM: usize = 21;

/// A blocking connection to the one broker.
pub struct KafkaClient {
    socket: TcpStream,
    correlation: i32,
    /// Answers that are still to come.
    in_flight: usize,
    pending: Vec<u8>,
    buffer: Vec<u8>,
}

impl KafkaClient {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn connect(to: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(to).with_context(|| format!("connecting to {to}"))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            correlation: 0,
            in_flight: 0,
            pending: Vec::new(),
            buffer: vec![0; 256 * 1024],
        })
    }

    /// Asks about the topic, which makes it exist; whether it can be written to.
    ///
    /// # Errors
    /// If the connection is gone or the answer is not understood.
    pub fn topic_is_ready(&mut self) -> Result<bool> {
        let mut body = Vec::new();
        put_i32(1, &mut body);
        put_text(TOPIC, &mut body);
        body.push(1);
        self.send(METADATA, 4, &body)?;
        let answer = self.receive()?;
        let mut input = Input(&answer);
        input.skip(4)?;
        for _ in 0..input.i32()? {
            input.skip(4)?;
            input.text()?;
            input.skip(4)?;
            input.text()?;
        }
        input.text()?;
        input.skip(4)?;
        ensure!(input.i32()? == 1, "an answer for one topic");
        let error = input.i16()?;
        input.text()?;
        input.skip(1)?;
        if error != 0 || input.i32()? == 0 {
            return Ok(false);
        }
        let (error, _partition, leader) = (input.i16()?, input.i32()?, input.i32()?);
        Ok(error == 0 && leader >= 0)
    }

    /// Sends records as one batch; its acknowledgement comes with [`Self::acknowledged`].
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn produce<R: AsRef<[u8]>>(&mut self, records: &[R], acks: i16, now_ms: i64) -> Result<()> {
        let batch = batch(records, now_ms);
        let mut body = Vec::with_capacity(batch.len() + 64);
        body.extend((-1i16).to_be_bytes());
        body.extend(acks.to_be_bytes());
        put_i32(30_000, &mut body);
        put_i32(1, &mut body);
        put_text(TOPIC, &mut body);
        put_i32(1, &mut body);
        put_i32(0, &mut body);
        put_i32(batch.len() as i32, &mut body);
        body.extend(batch);
        self.send(PRODUCE, 7, &body)
    }

    /// How many batches wait for their acknowledgement.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Waits for the next acknowledgement.
    ///
    /// # Errors
    /// If the broker refuses the batch.
    pub fn acknowledged(&mut self) -> Result<()> {
        let answer = self.receive()?;
        check_acknowledgement(&answer)
    }

    /// Takes the acknowledgements that have come, without waiting for any.
    ///
    /// # Errors
    /// If the broker refuses a batch.
    pub fn take_acknowledged(&mut self) -> Result<()> {
        self.socket.set_nonblocking(true)?;
        let outcome = self.take_available();
        self.socket.set_nonblocking(false)?;
        outcome
    }

    fn take_available(&mut self) -> Result<()> {
        loop {
            while let Some(answer) = self.cut_answer()? {
                check_acknowledgement(&answer)?;
            }
            match self.socket.read(&mut self.buffer) {
                Ok(0) => bail!("the broker closed the connection"),
                Ok(count) => self.pending.extend_from_slice(&self.buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Records from this offset on, as soon as there are any: calls `each` with offset and value,
    /// and says where to go on.
    ///
    /// # Errors
    /// If the broker refuses.
    pub fn fetch(&mut self, from: i64, each: impl FnMut(i64, &[u8])) -> Result<i64> {
        self.fetch_within(FETCH_WAIT_MS, FETCH_BYTES_MAX, from, each)
    }

    /// Asks for the first records without waiting for any; whoever answers leads the partition.
    ///
    /// # Errors
    /// If the broker refuses, as one does that does not lead it (yet).
    pub fn fetch_at_once(&mut self) -> Result<()> {
        self.fetch_within(0, 1, 0, |_, _| {}).map(|_| ())
    }

    fn fetch_within(
        &mut self,
        wait_ms: i32,
        bytes_max: i32,
        from: i64,
        mut each: impl FnMut(i64, &[u8]),
    ) -> Result<i64> {
        let mut body = Vec::new();
        put_i32(-1, &mut body);
        put_i32(wait_ms, &mut body);
        put_i32(1, &mut body);
        put_i32(bytes_max, &mut body);
        body.push(0);
        put_i32(1, &mut body);
        put_text(TOPIC, &mut body);
        put_i32(1, &mut body);
        put_i32(0, &mut body);
        body.extend(from.to_be_bytes());
        put_i32(bytes_max, &mut body);
        self.send(FETCH, 4, &body)?;
        let answer = self.receive()?;
        let mut input = Input(&answer);
        input.skip(4)?;
        ensure!(input.i32()? == 1, "an answer for one topic");
        input.text()?;
        ensure!(input.i32()? == 1, "an answer for one partition");
        input.skip(4)?;
        let error = input.i16()?;
        ensure!(error == 0, "the broker answered error {error}");
        input.skip(16)?;
        for _ in 0..input.i32()?.max(0) {
            input.skip(16)?;
        }
        let records = input.bytes()?;
        let mut next = from;
        read_batches(records, &mut |offset, value| {
            if offset >= from {
                each(offset, value);
                next = offset + 1;
            }
        })?;
        Ok(next)
    }

    fn send(&mut self, kind: i16, version: i16, body: &[u8]) -> Result<()> {
        self.correlation += 1;
        let mut request = vec![0; 4];
        request.extend(kind.to_be_bytes());
        request.extend(version.to_be_bytes());
        put_i32(self.correlation, &mut request);
        put_text("skein-compare", &mut request);
        request.extend_from_slice(body);
        let length = (request.len() - 4) as i32;
        request[..4].copy_from_slice(&length.to_be_bytes());
        self.socket.write_all(&request)?;
        self.in_flight += 1;
        Ok(())
    }

    /// The next answer without its correlation number: answers come in order.
    fn receive(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(answer) = self.cut_answer()? {
                return Ok(answer);
            }
            let count = self.socket.read(&mut self.buffer)?;
            ensure!(count > 0, "the broker closed the connection");
            self.pending.extend_from_slice(&self.buffer[..count]);
        }
    }

    fn cut_answer(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(length) = self.pending.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = usize::try_from(i32::from_be_bytes(*length))?;
        ensure!(
            (4..=ANSWER_BYTES_MAX).contains(&length),
            "an answer of {length} bytes"
        );
        if self.pending.len() < 4 + length {
            return Ok(None);
        }
        let answer = self.pending[8..4 + length].to_vec();
        self.pending.drain(..4 + length);
        self.in_flight -= 1;
        Ok(Some(answer))
    }
}

fn check_acknowledgement(answer: &[u8]) -> Result<()> {
    let mut input = Input(answer);
    ensure!(input.i32()? == 1, "an answer for one topic");
    input.text()?;
    ensure!(input.i32()? == 1, "an answer for one partition");
    input.skip(4)?;
    let error = input.i16()?;
    ensure!(error == 0, "the broker answered error {error} to a batch");
    Ok(())
}

/// A record batch of format 2, not compressed.
fn batch<R: AsRef<[u8]>>(records: &[R], now_ms: i64) -> Vec<u8> {
    let mut out = vec![0; BATCH_HEADER_BYTES];
    for (index, record) in records.iter().enumerate() {
        put_record(index, record.as_ref(), &mut out);
    }
    let count = records.len() as i32;
    let length = (out.len() - 12) as i32;
    out[8..12].copy_from_slice(&length.to_be_bytes());
    out[12..16].copy_from_slice(&(-1i32).to_be_bytes());
    out[16] = 2;
    out[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    out[27..35].copy_from_slice(&now_ms.to_be_bytes());
    out[35..43].copy_from_slice(&now_ms.to_be_bytes());
    // No producer id, epoch or sequence: not idempotent.
    out[43..57].fill(0xff);
    out[57..61].copy_from_slice(&count.to_be_bytes());
    let crc = crc32c::crc32c(&out[CRC_COVERS_FROM..]);
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    out
}

/// Length, attributes, time and offset since the batch's, no key, the value, no headers.
fn put_record(index: usize, value: &[u8], out: &mut Vec<u8>) {
    let mut record = vec![0, 0];
    put_zigzag(index as i64, &mut record);
    put_zigzag(-1, &mut record);
    put_zigzag(value.len() as i64, &mut record);
    record.extend_from_slice(value);
    record.push(0);
    put_zigzag(record.len() as i64, out);
    out.extend(record);
}

/// Reads the batches of an answer. The last one may be cut off, and comes whole next time.
fn read_batches(mut bytes: &[u8], each: &mut impl FnMut(i64, &[u8])) -> Result<()> {
    while bytes.len() >= BATCH_HEADER_BYTES {
        let mut header = Input(bytes);
        let base = header.i64()?;
        let length = usize::try_from(header.i32()?)? + 12;
        if bytes.len() < length {
            return Ok(());
        }
        let (batch, rest) = bytes.split_at(length);
        bytes = rest;
        ensure!(batch[16] == 2, "a batch of format {}", batch[16]);
        let crc = u32::from_be_bytes(batch[17..21].try_into()?);
        ensure!(
            crc == crc32c::crc32c(&batch[CRC_COVERS_FROM..]),
            "a batch is damaged"
        );
        let count = i32::from_be_bytes(batch[57..61].try_into()?);
        let mut records = Input(&batch[BATCH_HEADER_BYTES..]);
        for _ in 0..count {
            records.zigzag()?;
            records.skip(1)?;
            records.zigzag()?;
            let offset = base + records.zigzag()?;
            let key = records.zigzag()?.max(0);
            records.skip(key as usize)?;
            let value = records.zigzag()?.max(0);
            each(offset, records.take(value as usize)?);
            ensure!(records.zigzag()? == 0, "a record with headers");
        }
    }
    Ok(())
}

fn put_i32(value: i32, out: &mut Vec<u8>) {
    out.extend(value.to_be_bytes());
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as i16).to_be_bytes());
    out.extend(text.bytes());
}

fn put_zigzag(value: i64, out: &mut Vec<u8>) {
    let mut value = ((value << 1) ^ (value >> 63)) as u64;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// What is left to be read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .context("an answer is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn skip(&mut self, count: usize) -> Result<()> {
        self.take(count).map(|_| ())
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into()?))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }

    fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.take(8)?.try_into()?))
    }

    /// A text, or nothing.
    fn text(&mut self) -> Result<&'a [u8]> {
        let length = self.i16()?.max(0);
        self.take(length as usize)
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.i32()?.max(0);
        self.take(length as usize)
    }

    fn zigzag(&mut self) -> Result<i64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        bail!("a number has no end")
    }
}

#[cfg(test)]
mod tests {
    use super::{Input, batch, put_zigzag, read_batches};

    fn read(bytes: &[u8]) -> anyhow::Result<Vec<(i64, Vec<u8>)>> {
        let mut all = Vec::new();
        read_batches(bytes, &mut |offset, value| {
            all.push((offset, value.to_vec()));
        })?;
        Ok(all)
    }

    #[test]
    fn a_batch_is_read_as_it_was_written() {
        let records = [&b"one"[..], b"", b"three"];
        let mut bytes = batch(&records, 5);
        bytes[..8].copy_from_slice(&40i64.to_be_bytes());
        let expected: Vec<_> = (40..).zip(records.map(<[u8]>::to_vec)).collect();
        assert_eq!(read(&bytes).expect("whole"), expected);
        let twice = [&bytes[..], &bytes[..bytes.len() - 1]].concat();
        assert_eq!(
            read(&twice).expect("the second comes whole later"),
            expected
        );
    }

    #[test]
    fn a_damaged_batch_is_refused() {
        let mut bytes = batch(&[b"one"], 5);
        *bytes.last_mut().expect("bytes") ^= 1;
        assert!(read(&bytes).is_err());
    }

    #[test]
    fn numbers_of_all_sizes_are_read() {
        for value in [0, -1, 63, -64, 64, 1 << 40, i64::MIN, i64::MAX] {
            let mut bytes = Vec::new();
            put_zigzag(value, &mut bytes);
            assert_eq!(Input(&bytes).zigzag().expect("whole"), value);
        }
    }
}
