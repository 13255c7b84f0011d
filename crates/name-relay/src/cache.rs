//! Answers remembered for as long as they may be, and no more of them than
//! there is room for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// A map whose entries expire; when full, the entry that would expire first
/// makes room.
#[derive(Debug)]
pub(crate) struct TtlCache<V> {
    entries: BTreeMap<String, (V, Instant)>,
    by_expiry: BTreeSet<(Instant, String)>,
    capacity: usize,
}

impl<V: Clone> TtlCache<V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            capacity: capacity.max(1),
        }
    }

    pub(crate) fn lookup(&self, key: &str, now: Instant) -> Option<V> {
        self.entries
            .get(key)
            .filter(|(_, expiry)| *expiry > now)
            .map(|(value, _)| value.clone())
    }

    pub(crate) fn insert(&mut self, key: String, value: V, ttl: Duration, now: Instant) {
        if let Some((_, expiry)) = self.entries.remove(&key) {
            self.by_expiry.remove(&(expiry, key.clone()));
        }
        if ttl.is_zero() {
            return;
        }
        while self.entries.len() >= self.capacity {
            let Some((_, oldest)) = self.by_expiry.pop_first() else {
                break;
            };
            self.entries.remove(&oldest);
        }
        let expiry = now + ttl;
        self.by_expiry.insert((expiry, key.clone()));
        self.entries.insert(key, (value, expiry));
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.by_expiry.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_entry_lives_as_long_as_its_ttl() {
        let now = Instant::now();
        let mut cache = TtlCache::new(4);
        cache.insert("a".into(), 1, 2 * SECOND, now);
        assert_eq!(cache.lookup("a", now + SECOND), Some(1));
        assert_eq!(cache.lookup("a", now + 2 * SECOND), None);
        cache.insert("a".into(), 2, Duration::ZERO, now);
        assert_eq!(cache.lookup("a", now), None, "a TTL of 0 is not kept");
    }

    #[test]
    fn a_full_cache_forgets_what_expires_first() {
        let now = Instant::now();
        let mut cache = TtlCache::new(3);
        for (key, seconds) in [("a", 5), ("b", 2), ("c", 9), ("d", 7)] {
            cache.insert(key.into(), key, seconds * SECOND, now);
        }
        assert_eq!(cache.lookup("b", now), None);
        for key in ["a", "c", "d"] {
            assert_eq!(cache.lookup(key, now), Some(key));
        }
        for key in 0..1000 {
            cache.insert(key.to_string(), "x", SECOND, now);
        }
        assert_eq!(cache.entries.len(), 3);
        assert_eq!(cache.by_expiry.len(), 3);
    }
}
