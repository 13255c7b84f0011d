//! Answers remembered for as long as they may be, and no more of them than
//! there is room for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// A map whose entries expire; when full, the entry that would expire first
/// makes room.
#[derive(Debug)]
pub(crate) struct TtlCache<K, V> {
    entries: BTreeMap<K, (V, Instant)>,
    by_expiry: BTreeSet<(Instant, K)>,
    capacity: usize,
}

impl<K: Clone + Ord, V: Clone> TtlCache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            capacity: capacity.max(1),
        }
    }

    pub(crate) fn lookup(&self, key: &K, now: Instant) -> Option<V> {
        self.entries
            .get(key)
            .filter(|(_, expiry)| *expiry > now)
            .map(|(value, _)| value.clone())
    }

    pub(crate) fn insert(&mut self, key: K, value: V, ttl: Duration, now: Instant) {
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
        cache.insert("a", 1, 2 * SECOND, now);
        assert_eq!(cache.lookup(&"a", now + SECOND), Some(1));
        assert_eq!(cache.lookup(&"a", now + 2 * SECOND), None);
        cache.insert("a", 2, Duration::ZERO, now);
        assert_eq!(cache.lookup(&"a", now), None, "a TTL of 0 is not kept");
    }

    #[test]
    fn a_full_cache_forgets_what_expires_first() {
        let now = Instant::now();
        let mut cache = TtlCache::new(3);
        for (key, seconds) in [(1, 5), (2, 2), (3, 9), (4, 7)] {
            cache.insert(key, "x", seconds * SECOND, now);
        }
        assert_eq!(cache.lookup(&2, now), None);
        for key in [1, 3, 4] {
            assert_eq!(cache.lookup(&key, now), Some("x"));
        }
        for key in 0..1000 {
            cache.insert(key, "x", SECOND, now);
        }
        assert_eq!(cache.entries.len(), 3);
        assert_eq!(cache.by_expiry.len(), 3);
    }
}
