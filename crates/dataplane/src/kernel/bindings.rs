//! Which elements the packet filter needs for which bindings.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;

use super::elements::Element;
use super::ruleset::{BINDINGS, CARE_OF, RECEIVED, SENT};

/// A binding as the kernel carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Binding {
    /// Our outer address.
    pub(super) local: Ipv4Addr,
    /// The care-of address.
    pub(super) remote: Ipv4Addr,
    /// The one before, from which packets are still taken in.
    pub(super) former: Option<Ipv4Addr>,
}

/// All bindings, and the marks of their care-of addresses.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    by_home: BTreeMap<Ipv4Addr, Binding>,
    care_of: BTreeMap<Ipv4Addr, CareOf>,
    marks: Marks,
}

/// What changes in the packet filter.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) add: Vec<Element>,
    pub(super) remove: Vec<Element>,
}

#[derive(Debug, Clone, Copy)]
struct CareOf {
    mark: u32,
    /// How many bindings take packets in from there.
    users: u32,
}

/// The marks that no care-of address has.
#[derive(Debug, Default)]
struct Marks {
    /// How many have ever been given out.
    known: u32,
    /// Those given back, the longest unused first.
    free: VecDeque<u32>,
}

/// Marks are above this, out of the way of those that people choose.
const FIRST_MARK: u32 = 0x8000_0000;

impl Binding {
    fn care_of_addresses(self) -> impl Iterator<Item = Ipv4Addr> {
        let former = self.former.filter(|former| *former != self.remote);
        [Some(self.remote), former].into_iter().flatten()
    }
}

impl Bindings {
    /// The binding of a home address.
    pub(super) fn get(&self, home: Ipv4Addr) -> Option<Binding> {
        self.by_home.get(&home).copied()
    }

    /// All home addresses.
    pub(super) fn homes(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.by_home.keys().copied()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_home.len()
    }

    /// Makes these the bindings of their home addresses, and tells what that changes.
    pub(super) fn exchange(&mut self, after: &BTreeMap<Ipv4Addr, Option<Binding>>) -> Difference {
        let after: BTreeMap<_, _> = after
            .iter()
            .filter(|(home, binding)| self.get(**home) != **binding)
            .collect();
        let mut touched = BTreeMap::new();
        let mut before = BTreeSet::new();
        for home in after.keys() {
            if let Some(binding) = self.get(**home) {
                before.extend(self.elements(**home, binding));
                for address in binding.care_of_addresses() {
                    touched.entry(address).or_insert(true);
                }
            }
        }
        for (home, binding) in &after {
            // The new users first, so that a mark in use before and after stays.
            for address in binding
                .iter()
                .flat_map(|binding| binding.care_of_addresses())
            {
                touched
                    .entry(address)
                    .or_insert(self.care_of.contains_key(&address));
                self.enter(address);
            }
            let former = match binding {
                Some(binding) => self.by_home.insert(**home, *binding),
                None => self.by_home.remove(*home),
            };
            for address in former.into_iter().flat_map(Binding::care_of_addresses) {
                self.leave(address);
            }
        }
        let mut now = BTreeSet::new();
        for home in after.keys() {
            if let Some(binding) = self.get(**home) {
                now.extend(self.elements(**home, binding));
            }
        }
        for (address, known) in touched {
            let Some(care_of) = self.care_of.get(&address).copied() else {
                continue;
            };
            let element = care_of_element(address, care_of.mark);
            if known {
                before.insert(element.clone());
            }
            if care_of.users > 0 {
                now.insert(element);
            } else {
                self.care_of.remove(&address);
                self.marks.give_back(care_of.mark);
            }
        }
        Difference {
            add: now.difference(&before).cloned().collect(),
            remove: before.difference(&now).cloned().collect(),
        }
    }

    /// Every element that should be.
    pub(super) fn all_elements(&self) -> BTreeSet<Element> {
        let care_of = self
            .care_of
            .iter()
            .map(|(address, care_of)| care_of_element(*address, care_of.mark));
        let bindings = self
            .by_home
            .iter()
            .flat_map(|(home, binding)| self.elements(*home, *binding));
        care_of.chain(bindings).collect()
    }

    /// Takes over what a former run left: marks of care-of addresses, and which of them each home
    /// address had. `routed` are the bindings as the routes tell them.
    pub(super) fn take_over(
        marks: &BTreeMap<Ipv4Addr, u32>,
        pairs: &BTreeSet<(u32, Ipv4Addr)>,
        routed: &BTreeMap<Ipv4Addr, Binding>,
    ) -> Self {
        let by_mark: BTreeMap<u32, Ipv4Addr> = marks
            .iter()
            .map(|(address, mark)| (*mark, *address))
            .collect();
        let mut former: BTreeMap<Ipv4Addr, Ipv4Addr> = BTreeMap::new();
        for (mark, home) in pairs {
            let (Some(address), Some(binding)) = (by_mark.get(mark), routed.get(home)) else {
                continue;
            };
            if *address != binding.remote {
                former.insert(*home, *address);
            }
        }
        let mut bindings = Self::default();
        for (address, mark) in marks {
            bindings.marks.take_over(*mark);
            let known = CareOf {
                mark: *mark,
                users: 0,
            };
            bindings.care_of.insert(*address, known);
        }
        bindings.marks.fill_gaps(&by_mark);
        let after = routed
            .iter()
            .map(|(home, binding)| {
                let former = former.get(home).copied();
                (*home, Some(Binding { former, ..*binding }))
            })
            .collect();
        bindings.exchange(&after);
        let unused: Vec<_> = bindings
            .care_of
            .iter()
            .filter(|(_, care_of)| care_of.users == 0)
            .map(|(address, care_of)| (*address, care_of.mark))
            .collect();
        for (address, mark) in unused {
            bindings.care_of.remove(&address);
            bindings.marks.give_back(mark);
        }
        bindings
    }

    fn enter(&mut self, address: Ipv4Addr) {
        let marks = &mut self.marks;
        let care_of = self.care_of.entry(address).or_insert_with(|| CareOf {
            mark: marks.take(),
            users: 0,
        });
        care_of.users += 1;
    }

    fn leave(&mut self, address: Ipv4Addr) {
        if let Some(care_of) = self.care_of.get_mut(&address) {
            care_of.users = care_of.users.saturating_sub(1);
        }
    }

    fn elements(&self, home: Ipv4Addr, binding: Binding) -> impl Iterator<Item = Element> {
        let pairs = binding
            .care_of_addresses()
            .filter_map(|address| self.care_of.get(&address))
            .map(move |care_of| {
                let key = [care_of.mark.to_ne_bytes(), home.octets()].concat();
                Element::of(BINDINGS, key)
            });
        let counters = [RECEIVED, SENT].map(|set| Element::of(set, home.octets().to_vec()));
        pairs.chain(counters)
    }
}

fn care_of_element(address: Ipv4Addr, mark: u32) -> Element {
    Element {
        value: Some(mark.to_ne_bytes().to_vec()),
        ..Element::of(CARE_OF, address.octets().to_vec())
    }
}

impl Marks {
    fn take(&mut self) -> u32 {
        self.free.pop_front().unwrap_or_else(|| {
            let mark = FIRST_MARK.wrapping_add(self.known);
            self.known += 1;
            mark
        })
    }

    fn give_back(&mut self, mark: u32) {
        self.free.push_back(mark);
    }

    fn take_over(&mut self, mark: u32) {
        if let Some(place) = mark.checked_sub(FIRST_MARK) {
            self.known = self.known.max(place.saturating_add(1));
        }
    }

    /// What lies between the marks taken over is free.
    fn fill_gaps(&mut self, taken: &BTreeMap<u32, Ipv4Addr>) {
        // A former run of this program leaves no more gaps than it had care-of addresses; a table
        // that says otherwise is not worth the memory.
        const MOST: usize = 1 << 20;
        let free = (0..self.known)
            .map(|place| FIRST_MARK.wrapping_add(place))
            .filter(|mark| !taken.contains_key(mark));
        self.free.extend(free.take(MOST));
    }
}

#[cfg(test)]
mod tests;
