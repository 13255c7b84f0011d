//! What a home agent has once for each family.

use crate::Family;

/// One of a kind for each family.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PerFamily<T> {
    pub(super) ipv4: T,
    pub(super) ipv6: T,
}

impl<T> PerFamily<T> {
    pub(super) const fn of(&self, family: Family) -> &T {
        match family {
            Family::Ipv4 => &self.ipv4,
            Family::Ipv6 => &self.ipv6,
        }
    }

    pub(super) const fn of_mut(&mut self, family: Family) -> &mut T {
        match family {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        [&self.ipv4, &self.ipv6].into_iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        [&mut self.ipv4, &mut self.ipv6].into_iter()
    }
}
