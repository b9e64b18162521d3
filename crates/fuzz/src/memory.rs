//! How far the memory of this process has grown.

/// The peak of resident memory when it was taken; [`Peak::growth`] says by how much it has risen since.
#[derive(Clone, Copy, Debug)]
pub struct Peak(Option<u64>);

impl Peak {
    /// The peak so far.
    pub fn now() -> Self {
        Self(read("VmHWM:"))
    }

    /// Bytes by which the peak has risen; 0 where the system does not say.
    pub fn growth(self) -> u64 {
        self.0.zip(read("VmHWM:")).map_or(0, |(before, now)| now.saturating_sub(before))
    }
}

/// A field of Linux' `/proc/self/status`, bytes.
fn read(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}
