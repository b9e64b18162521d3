//! Answers kept for a second: however many ask for a page at once, it is made once.

use crate::{Answer, route::Route};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long an answer is used again.
const LIFETIME: Duration = Duration::from_secs(1);
/// Most answers kept; a page is at most some 50 KB.
const MAX_ENTRIES: usize = 256;

type Entry = Arc<OnceLock<Arc<Answer>>>;

#[derive(Default)]
pub(crate) struct Cache(Mutex<HashMap<Route, (Instant, Entry)>>);

impl Cache {
    /// The answer made less than [`LIFETIME`] ago, or the one `make` gives; those who ask meanwhile wait for it.
    pub(crate) fn get(&self, route: Route, make: impl FnOnce() -> Answer) -> Arc<Answer> {
        let entry = {
            let mut entries = self.0.lock();
            let now = Instant::now();
            match entries.get(&route) {
                Some((since, entry)) if now.duration_since(*since) < LIFETIME => entry.clone(),
                _ => {
                    entries.retain(|_, (since, _)| now.duration_since(*since) < LIFETIME);
                    if entries.len() >= MAX_ENTRIES {
                        entries.clear();
                    }
                    let entry = Entry::default();
                    entries.insert(route, (now, entry.clone()));
                    entry
                }
            }
        };
        entry.get_or_init(|| Arc::new(make())).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_used_again_and_entries_are_bounded() {
        let cache = Cache::default();
        let answer = |text: &str| Answer::html(200, text.to_owned());
        assert_eq!(cache.get(Route::Overview { live: true }, || answer("first")).body, "first");
        assert_eq!(cache.get(Route::Overview { live: true }, || answer("second")).body, "first");
        for epoch in 0..2 * MAX_ENTRIES as u64 {
            cache.get(Route::Epoch(epoch), || answer("epoch"));
        }
        assert!(cache.0.lock().len() <= MAX_ENTRIES);
        std::thread::sleep(LIFETIME);
        assert_eq!(cache.get(Route::Overview { live: true }, || answer("third")).body, "third");
        assert_eq!(cache.0.lock().len(), 1, "what is old was dropped");
    }
}
