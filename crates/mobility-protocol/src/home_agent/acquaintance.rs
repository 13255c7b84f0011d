//! Who may vouch for a message: a mobile node we share a key with, or a stranger who shows that our
//! answers reach him and that he holds the key he brings along.
//!
//! Strangers cost nothing that lasts. Until a cookie, or a token, comes back there is no state, no computation on
//! public keys, and no answer larger than the question.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Owner;
use super::config::Policy;
use super::counters::DropReason;
use super::rates::Pace;
use super::table::Table;
use crate::security::{
    Claimant, Cookie, FIRST_AGREED_SPI, OPEN_MODE_SPI, PublicKey, ResumptionToken,
    SecurityAssociation, is_older,
};
use crate::{Family, Identity};

/// Everybody who is known, and how many more may get to be.
#[derive(Debug)]
pub(super) struct Directory<'a> {
    pub(super) policy: &'a Policy,
    pub(super) table: &'a Table,
    /// How many agreements are computed for whom.
    pub(super) agreements: &'a mut Pace,
    pub(super) unix_time: Duration,
    /// When we began, if what was accepted before that could still look fresh. Whether it was,
    /// nobody may remember: the store was lost, or it was another process.
    pub(super) began: Option<Duration>,
    pub(super) now: Instant,
}

/// What a message says about who sent it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim<'a> {
    /// Where it came from and, in the same family, what it came to.
    pub(super) source: IpAddr,
    pub(super) home_agent: IpAddr,
    pub(super) identity: &'a Identity,
    pub(super) spi: u32,
    pub(super) key_share: Option<PublicKey>,
    pub(super) cookie: Option<Cookie>,
    pub(super) token: Option<ResumptionToken>,
}

/// Who sent it.
#[derive(Debug)]
pub(super) enum Acquaintance {
    /// Whoever has this key, which the authenticator will tell.
    Known(Arc<SecurityAssociation>),
    /// Who was sent a cookie or, not long ago, a token, if the authenticator is made with this key; else a stranger.
    Newcomer(SecurityAssociation, Challenge),
    /// Nobody knows yet. This is to come back.
    Stranger(Challenge),
}

/// What a stranger is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Challenge {
    /// Our public key, where the stranger sent his.
    pub(super) key_share: Option<PublicKey>,
    pub(super) cookie: Cookie,
}

impl Directory<'_> {
    /// Who makes this claim.
    pub(super) fn find(self, claim: &Claim<'_>) -> Result<Acquaintance, DropReason> {
        // Where the published key would do, who can have a better one gets it.
        let wants_key = claim.spi == OPEN_MODE_SPI && claim.key_share.is_some();
        if let Some(association) = self.policy.association(claim.identity, claim.spi)
            && !wants_key
        {
            return Ok(Acquaintance::Known(Arc::clone(association)));
        }
        let secret = self
            .policy
            .agreement(claim.identity)
            .ok_or(DropReason::UnknownAssociation)?;
        let spi = match (claim.spi, claim.key_share) {
            (OPEN_MODE_SPI, Some(key_share)) => key_share.spi(),
            (OPEN_MODE_SPI, None) => return Err(DropReason::Unprotected),
            (spi @ FIRST_AGREED_SPI.., _) => spi,
            _ => return Err(DropReason::UnknownAssociation),
        };
        if spi == claim.spi
            && let Some(association) = self.bound(claim)
        {
            return Ok(Acquaintance::Known(association));
        }
        let claimant = Claimant {
            home_agent: claim.home_agent,
            source: claim.source,
            spi,
            identity: claim.identity,
        };
        let challenge = Challenge {
            key_share: claim.key_share.map(|_| secret.public()),
            cookie: secret.cookie(&claimant, self.unix_time),
        };
        let (unix_time, began) = (self.unix_time, self.began);
        let is_ours =
            |sealed: &[u8; Cookie::LENGTH]| began.is_none_or(|began| !is_older(sealed, began));
        let was_there = || {
            let cookie = claim.cookie.filter(|cookie| is_ours(&cookie.0));
            let token = claim.token.filter(|token| is_ours(&token.0));
            cookie.is_some_and(|cookie| secret.verify(&cookie, &claimant, unix_time))
                || token.is_some_and(|token| secret.verify_token(&token, &claimant, unix_time))
        };
        if let Some(key_share) = claim.key_share
            && key_share.spi() == claim.spi
            && was_there()
        {
            if !self.agreements.spend(claim.source.into(), self.now) {
                return Err(DropReason::TooManyAgreements);
            }
            let pair = secret.key_pair();
            return pair
                .with_mobile_node(&key_share, claim.home_agent, claim.identity)
                .map(|association| Acquaintance::Newcomer(association, challenge))
                .ok_or(DropReason::AuthenticationFailed);
        }
        Ok(Acquaintance::Stranger(challenge))
    }

    /// The key of the binding that is there.
    fn bound(&self, claim: &Claim<'_>) -> Option<Arc<SecurityAssociation>> {
        let owner = Owner {
            identity: claim.identity.clone(),
            agreed: Some(claim.spi),
        };
        let slot = self.table.find(&owner, Family::of(claim.source))?;
        Some(Arc::clone(&self.table.get(slot)?.association))
    }
}
