//! When the log is told of a trouble that lasts: sometimes, and once more when it has passed.

use std::time::{Duration, Instant};

/// It is told when it has lasted this long: shorter ones come and go by themselves.
const FIRST: Duration = Duration::from_secs(5);
/// And then at this age.
const SECOND: Duration = Duration::from_secs(60);
/// And from then on after each such time.
const AGAIN: Duration = Duration::from_secs(600);

/// A trouble, there or not, and what the log was told of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Telling {
    began: Option<Instant>,
    /// Its age when it was told last.
    told: Option<Duration>,
}

impl Telling {
    /// A trouble that has been there since `began`.
    pub const fn since(began: Instant) -> Self {
        Self { began: Some(began), told: None }
    }

    /// The trouble is there. How long it has been, if it is time to say it.
    pub fn lasts(&mut self, now: Instant) -> Option<Duration> {
        let age = now.duration_since(*self.began.get_or_insert(now));
        let due = match self.told {
            None => FIRST,
            Some(told) if told < SECOND => SECOND,
            Some(told) => told + AGAIN,
        };
        (age >= due).then(|| *self.told.insert(age))
    }

    /// The trouble is not there. How long it was, if the log was told of it and has not been told of its end.
    pub fn passed(&mut self, now: Instant) -> Option<Duration> {
        let Self { began, told } = std::mem::take(self);
        began.filter(|_| told.is_some()).map(|began| now.duration_since(began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_at_growing_intervals_and_when_it_has_passed() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut telling = Telling::default();
        let told: Vec<u64> = (0..2_000).filter(|second| telling.lasts(at(*second)).is_some()).collect();
        assert_eq!(told, [5, 60, 660, 1_260, 1_860]);
        assert_eq!(telling.passed(at(2_000)), Some(Duration::from_secs(2_000)));
        assert_eq!(telling.passed(at(2_001)), None, "once");
        assert_eq!((telling.lasts(at(3_000)), telling.lasts(at(3_004))), (None, None), "another one");
        assert_eq!(telling.passed(at(3_004)), None, "nobody was told");
        assert!(Telling::since(at(0)).lasts(at(5)).is_some());
    }
}
