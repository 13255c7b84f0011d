//! The keys that a mobile node and one home agent were given beforehand.

use std::iter;

use crate::security::{Cookie, SecurityAssociation};

/// At least one key, and which of them the home agent has.
#[derive(Debug)]
pub(super) struct SharedKeys {
    preferred: SecurityAssociation,
    others: Vec<SecurityAssociation>,
    /// The one the home agent answered under last, counted from the preferred one, which it is until then.
    answered: usize,
    /// What the home agent waits for, under that one.
    cookie: Option<Cookie>,
}

impl SharedKeys {
    pub(super) const fn new(
        preferred: SecurityAssociation,
        others: Vec<SecurityAssociation>,
    ) -> Self {
        Self {
            preferred,
            others,
            answered: 0,
            cookie: None,
        }
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// Where to begin: with the one the home agent answered under last.
    pub(super) const fn answered(&self) -> usize {
        self.answered
    }

    /// The one at this place, counted from the preferred one; that one where there is none.
    pub(super) fn at(&self, place: usize) -> &SecurityAssociation {
        self.iter().nth(place).unwrap_or(&self.preferred)
    }

    pub(super) fn find(&self, spi: u32) -> Option<&SecurityAssociation> {
        self.iter().find(|association| association.spi == spi)
    }

    /// The home agent has the one with this index.
    pub(super) fn set_answered(&mut self, spi: u32) {
        let place = self.iter().position(|association| association.spi == spi);
        if let Some(place) = place.filter(|place| *place != self.answered) {
            self.answered = place;
            self.cookie = None;
        }
    }

    /// What the home agent waits for in a message under this one.
    pub(super) fn cookie(&self, association: &SecurityAssociation) -> Option<Cookie> {
        (self.cookie).filter(|_| self.at(self.answered).spi == association.spi)
    }

    /// The home agent waits for this, under the one it answered under last.
    pub(super) const fn set_cookie(&mut self, cookie: Option<Cookie>) {
        self.cookie = cookie;
    }

    fn iter(&self) -> impl Iterator<Item = &SecurityAssociation> {
        iter::once(&self.preferred).chain(&self.others)
    }
}
