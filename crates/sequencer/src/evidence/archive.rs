//! Nullifications of past views, on disk.
//!
//! A fork needs a view that one side finalised and the other skipped. Finalisations are kept with their blocks; the skipping is
//! proven by this archive alone. File `nullifications.bin`: frames of a length (u16, big endian) and a nullification in the library's
//! encoding, unsynced: what a crash loses is evidence, never safety.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

/// Nullifications kept; beyond it the older half goes. About 100 bytes each.
const MAX_NULLIFICATIONS: usize = 65_536;

/// Encoded nullifications by epoch and view.
#[derive(Debug, Default)]
pub(super) struct Archive {
    file: Option<File>,
    kept: BTreeMap<(u64, u64), Vec<u8>>,
}

impl Archive {
    /// Opens or creates the archive. `round` tells epoch and view of an encoded nullification; what it does not know is left out.
    pub(super) fn open(path: &Path, round: impl Fn(&[u8]) -> Option<(u64, u64)>) -> std::io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut kept = BTreeMap::new();
        let mut rest = bytes.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<2>()
            && let Some((frame, after)) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        {
            if let Some(at) = round(frame) {
                kept.insert(at, frame.to_vec());
            }
            rest = after;
        }
        // A torn last frame is dropped.
        let whole = bytes.len() - rest.len();
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file: Some(file), kept })
    }

    pub(super) fn get(&self, at: (u64, u64)) -> Option<&[u8]> {
        self.kept.get(&at).map(Vec::as_slice)
    }

    /// Keeps a nullification; the first one of a view stays.
    pub(super) fn keep(&mut self, at: (u64, u64), nullification: Vec<u8>) -> std::io::Result<()> {
        let Ok(length) = u16::try_from(nullification.len()) else { return Ok(()) };
        if self.kept.contains_key(&at) {
            return Ok(());
        }
        let frame = [length.to_be_bytes().as_slice(), &nullification].concat();
        self.kept.insert(at, nullification);
        if self.kept.len() > MAX_NULLIFICATIONS {
            return self.halve();
        }
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(&frame))
    }

    fn halve(&mut self) -> std::io::Result<()> {
        if let Some(middle) = self.kept.keys().nth(self.kept.len() / 2).copied() {
            self.kept = self.kept.split_off(&middle);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let frames: Vec<u8> =
            self.kept.values().flat_map(|kept| [(kept.len() as u16).to_be_bytes().as_slice(), kept].concat()).collect();
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(frame: &[u8]) -> Option<(u64, u64)> {
        Some((0, u64::from_be_bytes(frame.try_into().ok()?)))
    }

    fn keep(archive: &mut Archive, view: u64) {
        archive.keep((0, view), view.to_be_bytes().to_vec()).unwrap();
    }

    #[test]
    fn survives_a_restart_and_a_torn_frame_and_stays_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nullifications.bin");
        let mut archive = Archive::open(&path, round).unwrap();
        (0..5).for_each(|view| keep(&mut archive, view));
        drop(archive);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&[0, 8, 1, 2]).unwrap();
        let mut archive = Archive::open(&path, round).unwrap();
        assert_eq!(archive.get((0, 4)), Some(4u64.to_be_bytes().as_slice()));
        (5..=MAX_NULLIFICATIONS as u64).for_each(|view| keep(&mut archive, view));
        drop(archive);
        let archive = Archive::open(&path, round).unwrap();
        assert_eq!((archive.get((0, 4)), archive.kept.len()), (None, MAX_NULLIFICATIONS / 2 + 1));
        assert!(archive.get((0, MAX_NULLIFICATIONS as u64)).is_some());
    }
}
