//! Which elements the packet filter needs for which bindings.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use mobility_protocol::{Family, Reachability};

use super::elements::{Element, Set, address, octets};
use super::routes::Wrap;
use super::ruleset::{Sets, sets};

/// A binding as the kernel carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Binding {
    /// The way to the home address.
    pub(super) wrap: Wrap,
    /// The care-of address before, from which packets are still taken in. One of the other family
    /// means nothing.
    pub(super) former: Option<IpAddr>,
    /// Whether packets may go there without limit.
    pub(super) reachability: Reachability,
}

/// All bindings, and the marks of their care-of addresses, which are distinct over both families.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    by_home: BTreeMap<IpAddr, Binding>,
    care_of: BTreeMap<IpAddr, CareOf>,
    marks: Marks,
}

/// What changes in the packet filter.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) add: Vec<Element>,
    pub(super) remove: Vec<Element>,
    /// Limits to be removed once nothing goes to the unproven address any longer.
    pub(super) lift: Vec<Element>,
}

/// What brings the packet filter to what the bindings need.
#[derive(Debug, Default)]
pub(super) struct Completion {
    /// What each home address has, of those without a binding: it may be there.
    pub(super) uncertain: Vec<Element>,
    /// What is there, once the uncertain ones are, and should not be.
    pub(super) surplus: Vec<Element>,
    /// What should be there, and is not, or may be.
    pub(super) missing: Vec<Element>,
    /// How many of those are certainly not there.
    pub(super) count: usize,
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
    fn care_of_addresses(self) -> impl Iterator<Item = IpAddr> {
        let remote = self.wrap.remote();
        let former = self
            .former
            .filter(|former| *former != remote && Family::of(*former) == self.wrap.family());
        [Some(remote), former].into_iter().flatten()
    }
}

impl Bindings {
    /// The binding of a home address.
    pub(super) fn get(&self, home: IpAddr) -> Option<Binding> {
        self.by_home.get(&home).copied()
    }

    /// All home addresses.
    pub(super) fn homes(&self) -> impl Iterator<Item = IpAddr> {
        self.by_home.keys().copied()
    }

    /// All bindings.
    pub(super) fn all(&self) -> impl Iterator<Item = Binding> {
        self.by_home.values().copied()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_home.len()
    }

    /// Makes these the bindings of their home addresses, and tells what that changes.
    pub(super) fn exchange(&mut self, after: &BTreeMap<IpAddr, Option<Binding>>) -> Difference {
        let after: BTreeMap<_, _> = after
            .iter()
            .filter(|(home, binding)| self.get(**home) != **binding)
            .collect();
        let mut touched = BTreeMap::new();
        let mut before = BTreeSet::new();
        for home in after.keys() {
            if let Some(binding) = self.get(**home) {
                before.extend(self.elements(binding));
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
        let mut now = Vec::new();
        for home in after.keys() {
            if let Some(binding) = self.get(**home) {
                now.extend(self.elements(binding));
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
                now.push(element);
            } else {
                self.care_of.remove(&address);
                self.marks.give_back(care_of.mark);
            }
        }
        now.retain(|element| !before.remove(element));
        // One message to the kernel is about one set.
        now.sort_by_key(|element| element.set);
        let (lift, remove) = before.into_iter().partition(is_limit);
        Difference {
            add: now,
            remove,
            lift,
        }
    }

    /// The way to this home address has not changed as it should: what limited it still does.
    pub(super) fn limit(&mut self, home: IpAddr) {
        if let Some(binding) = self.by_home.get_mut(&home) {
            binding.reachability = Reachability::Unproven;
        }
    }

    /// Every element that should be.
    pub(super) fn all_elements(&self) -> BTreeSet<Element> {
        let care_of = self
            .care_of
            .iter()
            .map(|(address, care_of)| care_of_element(*address, care_of.mark));
        // Set after set, because what is in order already is put in order sooner.
        care_of
            .chain(self.all().flat_map(|binding| self.pairs(binding)))
            .chain(self.homes().map(own))
            .chain(self.homes().map(received))
            .chain(self.homes().map(sent))
            .chain(self.all().filter_map(limit_of))
            .collect()
    }

    /// What is to be done where these are present of the care-of addresses and of the home addresses
    /// that belong to them. About what each home address has nothing is known.
    pub(super) fn completion(&self, present: &BTreeSet<Element>) -> Completion {
        let wanted = self.all_elements();
        let surplus: Vec<Element> = present.difference(&wanted).cloned().collect();
        let missing: Vec<Element> = wanted.difference(present).cloned().collect();
        let uncertain: BTreeSet<Element> = surplus
            .iter()
            .filter(|element| is_pair(element))
            .filter_map(read_pair)
            .filter(|(_, home)| !self.by_home.contains_key(home))
            .flat_map(|(_, home)| of_each(home))
            .collect();
        Completion {
            surplus: surplus
                .into_iter()
                .chain(uncertain.iter().cloned())
                .collect(),
            uncertain: uncertain.into_iter().collect(),
            count: missing.len() - EACH * self.by_home.len(),
            missing,
        }
    }

    /// Takes over what a former run left: the elements of the packet filter, and the ways to home
    /// addresses. Bindings are those that both agree about.
    pub(super) fn take_over(
        present: &BTreeSet<Element>,
        routed: impl IntoIterator<Item = Wrap>,
    ) -> Self {
        let routed: BTreeMap<IpAddr, Wrap> =
            routed.into_iter().map(|wrap| (wrap.home(), wrap)).collect();
        let mut marks: BTreeMap<IpAddr, u32> = BTreeMap::new();
        let mut pairs: Vec<(u32, IpAddr)> = Vec::new();
        let mut unproven: BTreeSet<IpAddr> = BTreeSet::new();
        for element in present {
            if is_pair(element) {
                pairs.extend(read_pair(element));
            } else if is_limit(element) {
                unproven.extend(address(&element.key));
            } else {
                marks.extend(read_care_of(element));
            }
        }
        let by_mark: BTreeMap<u32, IpAddr> = marks
            .iter()
            .map(|(address, mark)| (*mark, *address))
            .collect();
        let mut former: BTreeMap<IpAddr, IpAddr> = BTreeMap::new();
        for (mark, home) in pairs {
            let (Some(address), Some(wrap)) = (by_mark.get(&mark), routed.get(&home)) else {
                continue;
            };
            if *address != wrap.remote() {
                former.insert(home, *address);
            }
        }
        let mut bindings = Self::default();
        for (address, mark) in &marks {
            bindings.marks.take_over(*mark);
            let known = CareOf {
                mark: *mark,
                users: 0,
            };
            bindings.care_of.insert(*address, known);
        }
        bindings.marks.fill_gaps(&by_mark);
        for (home, wrap) in routed {
            let binding = Binding {
                wrap,
                former: former.get(&home).copied(),
                reachability: match unproven.contains(&home) {
                    true => Reachability::Unproven,
                    false => Reachability::Proven,
                },
            };
            for address in binding.care_of_addresses() {
                bindings.enter(address);
            }
            bindings.by_home.insert(home, binding);
        }
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

    fn enter(&mut self, address: IpAddr) {
        let marks = &mut self.marks;
        let care_of = self.care_of.entry(address).or_insert_with(|| CareOf {
            mark: marks.take(),
            users: 0,
        });
        care_of.users += 1;
    }

    fn leave(&mut self, address: IpAddr) {
        if let Some(care_of) = self.care_of.get_mut(&address) {
            care_of.users = care_of.users.saturating_sub(1);
        }
    }

    fn elements(&self, binding: Binding) -> impl Iterator<Item = Element> {
        self.pairs(binding)
            .chain(of_each(binding.wrap.home()))
            .chain(limit_of(binding))
    }

    /// The marks that its packets may carry.
    fn pairs(&self, binding: Binding) -> impl Iterator<Item = Element> {
        let pairs_of = sets(binding.wrap.family()).bindings;
        let home = octets(binding.wrap.home());
        binding
            .care_of_addresses()
            .filter_map(|address| self.care_of.get(&address))
            .map(move |care_of| {
                let key = [&care_of.mark.to_ne_bytes(), &*home].concat();
                Element::of(pairs_of, key)
            })
    }
}

fn care_of_element(address: IpAddr, mark: u32) -> Element {
    Element {
        value: Some(mark.to_ne_bytes().to_vec()),
        ..Element::of(sets(Family::of(address)).care_of, octets(address))
    }
}

/// How many elements each home address has, whatever its care-of address.
const EACH: usize = 3;

fn of_each(home: IpAddr) -> [Element; EACH] {
    [own(home), received(home), sent(home)]
}

fn own(home: IpAddr) -> Element {
    let octets = octets(home);
    Element::of(sets(Family::of(home)).own, [&*octets, &*octets].concat())
}

fn received(home: IpAddr) -> Element {
    Element::of(sets(Family::of(home)).received, octets(home))
}

fn sent(home: IpAddr) -> Element {
    Element::of(sets(Family::of(home)).sent, octets(home))
}

/// What limits what goes to an address that is not proven.
fn limit_of(binding: Binding) -> Option<Element> {
    (binding.reachability == Reachability::Unproven).then(|| limit(binding.wrap.home()))
}

/// What lets nothing pass to a home address.
pub(super) fn limit(home: IpAddr) -> Element {
    Element::of(sets(Family::of(home)).unproven, octets(home))
}

/// Whether it limits what goes to a home address.
fn is_limit(element: &Element) -> bool {
    is_of(element, |sets| sets.unproven)
}

/// Whether it is of the marks that home addresses may carry.
fn is_pair(element: &Element) -> bool {
    is_of(element, |sets| sets.bindings)
}

fn is_of(element: &Element, which: fn(Sets) -> Set) -> bool {
    [Family::Ipv4, Family::Ipv6]
        .into_iter()
        .any(|family| which(sets(family)) == element.set)
}

/// A care-of address and its mark.
fn read_care_of(element: &Element) -> Option<(IpAddr, u32)> {
    let mark = element.value.as_deref()?.try_into().ok()?;
    Some((address(&element.key)?, u32::from_ne_bytes(mark)))
}

/// A mark and a home address whose packets may carry it.
fn read_pair(element: &Element) -> Option<(u32, IpAddr)> {
    let (mark, home) = element.key.split_first_chunk()?;
    Some((u32::from_ne_bytes(*mark), address(home)?))
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
    fn fill_gaps(&mut self, taken: &BTreeMap<u32, IpAddr>) {
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
