//! The write-ahead log: append-only segments of one record per block; a block is durable when its record is synced.
//!
//! A segment begins with [`SEGMENT_MAGIC`], a random seed (u64) and the checksum of both. A record is, little endian:
//!
//! ```text
//! "OCWR" | payload bytes (u32) | block number (u64) | xxh3-32 of the 16 bytes before | payload | xxh3-64 of the payload
//! ```
//!
//! Both checksums take the segment's seed, which nobody outside knows: a transaction cannot carry bytes that look like a record.
//!
//! A crash can tear only the last record, because the next one is not begun before it is synced. A bad record with nothing
//! valid after it, in the last segment, is therefore a torn tail and is cut; anywhere else it is damage and an error.

use crate::{MAX_RECORD_BYTES, StoreError, identity::sync_dir};
use std::{
    collections::VecDeque,
    fs::{self, File},
    hash::{BuildHasher, RandomState},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const SEGMENT_MAGIC: &[u8; 16] = b"oceanid log v1\n\0";
/// Bytes before a segment's first record: magic, seed, and the xxh3-64 of both. Synced before the first record is written.
const SEGMENT_HEAD: usize = SEGMENT_MAGIC.len() + 8 + 8;
const RECORD_MAGIC: &[u8; 4] = b"OCWR";
/// Bytes before a record's payload.
const HEAD: usize = 4 + 4 + 8 + 4;
/// Bytes after it.
const TAIL: usize = 8;
const EXTENSION: &str = "wal";

/// The open log.
#[derive(Debug)]
pub(crate) struct Wal {
    dir: PathBuf,
    segment_bytes: u64,
    /// Segments no longer written, oldest first, with the number of their last block.
    sealed: VecDeque<(PathBuf, u64)>,
    current: Option<Segment>,
}

/// The segment being written.
#[derive(Debug)]
struct Segment {
    path: PathBuf,
    file: File,
    seed: u64,
    bytes: u64,
    last: Option<u64>,
}

impl Wal {
    /// Opens the log in `dir`, cuts a torn tail, and hands every record, in order, to `replay`.
    pub(crate) fn open(
        dir: &Path,
        segment_bytes: u64,
        mut replay: impl FnMut(u64, &[u8]) -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(StoreError::io("create", dir))?;
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).map_err(StoreError::io("list", dir))? {
            let path = entry.map_err(StoreError::io("list", dir))?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                paths.push(path);
            }
        }
        paths.sort();
        let mut wal = Self { dir: dir.to_path_buf(), segment_bytes, sealed: VecDeque::new(), current: None };
        let mut previous = None;
        let segments = paths.len();
        for (index, path) in paths.into_iter().enumerate() {
            let is_last = index + 1 == segments;
            let SegmentEnd { seed, end, last } = read_segment(&path, is_last, &mut previous, &mut replay)?;
            if !is_last {
                if let Some(last) = last {
                    wal.sealed.push_back((path, last));
                } else {
                    fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
                }
                continue;
            }
            let mut file = File::options().read(true).write(true).open(&path).map_err(StoreError::io("open", &path))?;
            if end == 0 {
                // The crash came before the segment's first bytes were durable.
                drop(file);
                fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
            } else {
                let length = file.metadata().map_err(StoreError::io("read", &path))?.len();
                if length > end {
                    tracing::warn!(segment = %path.display(), cut = length - end, "cutting the torn tail of the log");
                    file.set_len(end).map_err(StoreError::io("truncate", &path))?;
                    file.sync_all().map_err(StoreError::io("sync", &path))?;
                }
                file.seek(SeekFrom::Start(end)).map_err(StoreError::io("seek in", &path))?;
                wal.current = Some(Segment { path, file, seed, bytes: end, last });
            }
        }
        Ok(wal)
    }

    /// Appends one record and syncs it: durable on return. After an error the log must not be written again.
    pub(crate) fn append(&mut self, number: u64, payload: &[u8]) -> Result<(), StoreError> {
        if payload.len() > MAX_RECORD_BYTES {
            return Err(StoreError::RecordTooLarge { number, bytes: payload.len(), limit: MAX_RECORD_BYTES });
        }
        if self.current.as_ref().is_some_and(|segment| segment.bytes >= self.segment_bytes) {
            let segment = self.current.take().expect("just seen");
            let last = segment.last.expect("a full segment has records");
            self.sealed.push_back((segment.path, last));
        }
        if self.current.is_none() {
            self.current = Some(Segment::create(&self.dir, number)?);
        }
        let segment = self.current.as_mut().expect("just created");
        let mut record = Vec::with_capacity(HEAD + payload.len() + TAIL);
        record.extend_from_slice(&head(segment.seed, number, payload.len()));
        record.extend_from_slice(payload);
        record.extend_from_slice(&xxh3_64_with_seed(payload, segment.seed).to_le_bytes());
        segment.file.write_all(&record).map_err(StoreError::io("append to", &segment.path))?;
        segment.file.sync_data().map_err(StoreError::io("sync", &segment.path))?;
        segment.bytes += record.len() as u64;
        segment.last = Some(number);
        Ok(())
    }

    /// Number of the last record.
    pub(crate) fn last(&self) -> Option<u64> {
        self.current.as_ref().and_then(|segment| segment.last).or(self.sealed.back().map(|(_, last)| *last))
    }

    /// Segments, and their bytes.
    pub(crate) fn size(&self) -> Result<(u64, u64), StoreError> {
        let paths = self.sealed.iter().map(|(path, _)| path).chain(self.current.as_ref().map(|segment| &segment.path));
        let (mut segments, mut bytes) = (0, 0);
        for path in paths {
            segments += 1;
            bytes += fs::metadata(path).map_err(StoreError::io("look at", path))?.len();
        }
        Ok((segments, bytes))
    }

    /// Removes every segment, so that the next record may have any number.
    pub(crate) fn clear(&mut self) -> Result<(), StoreError> {
        let current = self.current.take().map(|segment| segment.path);
        for path in self.sealed.drain(..).map(|(path, _)| path).chain(current) {
            fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        }
        sync_dir(&self.dir)
    }

    /// Removes the sealed segments that hold only blocks up to `number`.
    pub(crate) fn remove_through(&mut self, number: u64) -> Result<(), StoreError> {
        while self.sealed.front().is_some_and(|(_, last)| *last <= number) {
            let (path, _) = self.sealed.pop_front().expect("just seen");
            fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        }
        Ok(())
    }
}

impl Segment {
    fn create(dir: &Path, first: u64) -> Result<Self, StoreError> {
        let path = dir.join(format!("{first:020}.{EXTENSION}"));
        let mut file =
            File::options().create_new(true).read(true).write(true).open(&path).map_err(StoreError::io("create", &path))?;
        let seed = RandomState::new().hash_one(first);
        file.write_all(&segment_head(seed)).map_err(StoreError::io("write", &path))?;
        file.sync_all().map_err(StoreError::io("sync", &path))?;
        sync_dir(dir)?;
        Ok(Self { path, file, seed, bytes: SEGMENT_HEAD as u64, last: None })
    }
}

fn segment_head(seed: u64) -> [u8; SEGMENT_HEAD] {
    let mut head = [0; SEGMENT_HEAD];
    head[..16].copy_from_slice(SEGMENT_MAGIC);
    head[16..24].copy_from_slice(&seed.to_le_bytes());
    let check = xxh3_64(&head[..24]);
    head[24..].copy_from_slice(&check.to_le_bytes());
    head
}

fn head(seed: u64, number: u64, payload: usize) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(RECORD_MAGIC);
    head[4..8].copy_from_slice(&(payload as u32).to_le_bytes());
    head[8..16].copy_from_slice(&number.to_le_bytes());
    let check = xxh3_64_with_seed(&head[..16], seed) as u32;
    head[16..].copy_from_slice(&check.to_le_bytes());
    head
}

/// A record at the beginning of some bytes.
struct Record<'a> {
    number: u64,
    payload: &'a [u8],
    bytes: usize,
}

/// Reads the record at the beginning of `bytes`, or says why there is none.
fn read_record(seed: u64, bytes: &[u8]) -> Result<Record<'_>, &'static str> {
    let Some((head_bytes, rest)) = bytes.split_first_chunk::<HEAD>() else { return Err("record head is cut short") };
    let length = u32::from_le_bytes(head_bytes[4..8].try_into().expect("four bytes")) as usize;
    let number = u64::from_le_bytes(head_bytes[8..16].try_into().expect("eight bytes"));
    if *head_bytes != head(seed, number, length) {
        return Err("record head has a wrong checksum");
    }
    let Some((payload, tail)) = rest.split_at_checked(length) else { return Err("record is cut short") };
    let Some((check, _)) = tail.split_first_chunk::<TAIL>() else { return Err("record is cut short") };
    if u64::from_le_bytes(*check) != xxh3_64_with_seed(payload, seed) {
        return Err("record has a wrong checksum");
    }
    Ok(Record { number, payload, bytes: HEAD + length + TAIL })
}

/// True if a whole record stands anywhere in `bytes`.
fn holds_a_record(seed: u64, bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.windows(RECORD_MAGIC.len()).position(|window| window == RECORD_MAGIC) {
        if read_record(seed, &rest[at..]).is_ok() {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// What a segment turned out to hold.
struct SegmentEnd {
    seed: u64,
    /// Where the valid part ends, bytes; 0 if not even the segment's own head is there.
    end: u64,
    last: Option<u64>,
}

/// Replays a segment.
fn read_segment(
    path: &Path,
    is_last: bool,
    previous: &mut Option<u64>,
    replay: &mut impl FnMut(u64, &[u8]) -> Result<(), StoreError>,
) -> Result<SegmentEnd, StoreError> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(StoreError::io("read", path))?;
    let damage = |offset: usize, reason: String| Err(StoreError::Log { path: path.to_path_buf(), offset: offset as u64, reason });
    let head = bytes.split_first_chunk::<SEGMENT_HEAD>().map(|(head, records)| {
        let seed = u64::from_le_bytes(head[16..24].try_into().expect("eight bytes"));
        (*head == segment_head(seed), seed, records)
    });
    let (seed, records) = match head {
        Some((true, seed, records)) => (seed, records),
        // A crash while the segment was being created: no record was ever acknowledged in it.
        None | Some((false, _, [])) if is_last => return Ok(SegmentEnd { seed: 0, end: 0, last: None }),
        _ => return damage(0, "not a log segment of this version".to_owned()),
    };
    let mut offset = SEGMENT_HEAD;
    let mut last = None;
    while let Some(rest) = records.get(offset - SEGMENT_HEAD..).filter(|rest| !rest.is_empty()) {
        match read_record(seed, rest) {
            Ok(record) => {
                if previous.is_some_and(|previous| record.number != previous + 1) {
                    return damage(offset, format!("block {} follows block {}", record.number, previous.unwrap_or_default()));
                }
                replay(record.number, record.payload)?;
                offset += record.bytes;
                *previous = Some(record.number);
                last = Some(record.number);
            }
            Err(reason) if !is_last || holds_a_record(seed, &rest[1..]) => return damage(offset, reason.to_owned()),
            Err(_) => break,
        }
    }
    Ok(SegmentEnd { seed, end: offset as u64, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: u64 = 300;

    fn payload(number: u64) -> Vec<u8> {
        (0..60 + number as usize % 7).map(|index| (index as u64 * number) as u8).collect()
    }

    fn read(dir: &Path) -> Result<Vec<u64>, StoreError> {
        let mut numbers = Vec::new();
        Wal::open(dir, SMALL, |number, bytes| {
            assert_eq!(bytes, payload(number), "record {number}");
            numbers.push(number);
            Ok(())
        })?;
        Ok(numbers)
    }

    fn write(dir: &Path, numbers: std::ops::RangeInclusive<u64>) -> Wal {
        let mut wal = Wal::open(dir, SMALL, |_, _| Ok(())).unwrap();
        for number in numbers {
            wal.append(number, &payload(number)).unwrap();
        }
        wal
    }

    fn segments(dir: &Path) -> Vec<PathBuf> {
        let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    #[test]
    fn records_come_back_in_order_over_segments_and_restarts() {
        let dir = tempfile::tempdir().unwrap();
        drop(write(dir.path(), 1..=10));
        let mut wal = write(dir.path(), 11..=20);
        assert_eq!(read(dir.path()).unwrap(), (1..=20).collect::<Vec<_>>());
        assert!(segments(dir.path()).len() > 3);
        wal.remove_through(12).unwrap();
        let left = read(dir.path()).unwrap();
        assert!(left[0] <= 13 && left[0] > 5, "whole segments up to block 12 are gone: {left:?}");
        assert_eq!(*left.last().unwrap(), 20);
    }

    #[test]
    fn a_tail_cut_at_any_byte_loses_the_last_record_only_and_can_be_continued() {
        let dir = tempfile::tempdir().unwrap();
        drop(write(dir.path(), 1..=2));
        let path = segments(dir.path()).pop().unwrap();
        let before = fs::metadata(&path).unwrap().len();
        drop(write(dir.path(), 3..=3));
        let whole = fs::read(&path).unwrap();
        for cut in before..whole.len() as u64 {
            fs::write(&path, &whole[..cut as usize]).unwrap();
            assert_eq!(read(dir.path()).unwrap(), [1, 2], "cut at {cut}");
            drop(write(dir.path(), 3..=3));
            assert_eq!(read(dir.path()).unwrap(), [1, 2, 3], "continued after a cut at {cut}");
        }
    }

    #[test]
    fn any_flipped_byte_of_the_last_record_is_a_torn_tail() {
        let dir = tempfile::tempdir().unwrap();
        drop(write(dir.path(), 1..=2));
        let path = segments(dir.path()).pop().unwrap();
        let before = fs::metadata(&path).unwrap().len() as usize;
        drop(write(dir.path(), 3..=3));
        let whole = fs::read(&path).unwrap();
        for at in before..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x40;
            fs::write(&path, &bytes).unwrap();
            assert_eq!(read(dir.path()).unwrap(), [1, 2], "flipped byte {at}");
        }
        let mut zeros = whole[..before].to_vec();
        zeros.resize(whole.len(), 0);
        fs::write(&path, &zeros).unwrap();
        assert_eq!(read(dir.path()).unwrap(), [1, 2], "length grown, data not written");
    }

    #[test]
    fn any_flipped_byte_before_the_last_record_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        drop(write(dir.path(), 1..=1));
        let path = segments(dir.path()).pop().unwrap();
        let end_of_first = fs::metadata(&path).unwrap().len() as usize;
        drop(write(dir.path(), 2..=3));
        let whole = fs::read(&path).unwrap();
        for at in 0..end_of_first {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x01;
            fs::write(&path, &bytes).unwrap();
            match read(dir.path()) {
                Err(StoreError::Log { offset, .. }) => assert!(offset == 0 || offset == SEGMENT_HEAD as u64),
                other => panic!("flipped byte {at}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_torn_record_in_an_earlier_segment_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        drop(write(dir.path(), 1..=10));
        let first = segments(dir.path()).remove(0);
        let bytes = fs::read(&first).unwrap();
        fs::write(&first, &bytes[..bytes.len() - 1]).unwrap();
        assert!(matches!(read(dir.path()), Err(StoreError::Log { .. })));
    }

    #[test]
    fn a_missing_segment_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        drop(write(dir.path(), 1..=15));
        fs::remove_file(segments(dir.path()).remove(1)).unwrap();
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("follows block"), "{error}");
    }

    #[test]
    fn a_segment_whose_head_was_not_written_is_begun_again() {
        let dir = tempfile::tempdir().unwrap();
        for cut in 0..SEGMENT_HEAD {
            fs::write(dir.path().join("00000000000000000001.wal"), &segment_head(7)[..cut]).unwrap();
            assert_eq!(read(dir.path()).unwrap(), [0u64; 0]);
            drop(write(dir.path(), 1..=1));
            assert_eq!(read(dir.path()).unwrap(), [1]);
            fs::remove_dir_all(dir.path()).unwrap();
            fs::create_dir(dir.path()).unwrap();
        }
    }
}
