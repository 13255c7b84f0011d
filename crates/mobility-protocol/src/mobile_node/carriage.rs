//! What a binding sends and by which path, and how its data path follows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;

use super::attempt::{Attempt, Purpose, Request};
use super::context::Context;
use super::entry::{Entry, Established, State};
use super::signalling::{self, BindingUpdate};
use super::transitions::Input;
use crate::{
    Encapsulation, HomeAddress, Lifetime, Path, Reachability, Stamp, Transmit, Tunnel,
    TunnelEndpoints,
};

impl Entry {
    /// An attempt whose first message leaves as soon as the pace allows. A release runs its course
    /// without a path too, so that it ends.
    pub(super) fn attempt_now(&self, purpose: Purpose, context: &Context<'_>) -> Attempt {
        let mut attempt = Attempt::new(purpose);
        if self.path.is_some() || purpose == Purpose::Release {
            attempt.start(context.memory.pace.earliest(context.now));
        }
        attempt
    }

    pub(super) fn prompted(&self, mut attempt: Attempt, context: &Context<'_>) -> Attempt {
        if attempt.due().is_some() {
            attempt.try_again(context.memory.pace.earliest(context.now));
        }
        attempt
    }

    /// Somebody does not understand what was sent last: the next, in another transport, need not
    /// wait. Anybody may say so, hence no more than that comes of it.
    pub(super) fn hurry_on(&mut self, context: &mut Context<'_>) {
        let at = context.memory.pace.earliest(context.now);
        if let Some(attempt) = self.attempt_mut()
            && attempt.due().is_some()
        {
            attempt.try_again(at);
        }
        self.handle_timeout(context);
    }

    pub(super) fn transmit(
        &mut self,
        mut attempt: Attempt,
        home_address: Option<HomeAddress>,
        context: &mut Context<'_>,
    ) -> Attempt {
        self.send(&mut attempt, home_address, None, context);
        attempt
    }

    pub(super) fn transmit_release(
        &mut self,
        binding: Established,
        mut attempt: Attempt,
        context: &mut Context<'_>,
    ) -> State {
        self.send(
            &mut attempt,
            Some(binding.home_address),
            Some(binding.attachment),
            context,
        );
        State::Releasing { binding, attempt }
    }

    pub(super) fn send(
        &mut self,
        attempt: &mut Attempt,
        home_address: Option<HomeAddress>,
        confirmed: Option<u64>,
        context: &mut Context<'_>,
    ) {
        let earliest = context.memory.pace.earliest(context.now);
        if earliest > context.now {
            attempt.hurry(earliest);
            return;
        }
        let again = attempt.unanswered() > 0;
        let family = self.agent.family();
        let keys = self.authority.keys();
        let transport = attempt.transport(family, context.memory.transport, keys);
        let association = self.authority.association(attempt);
        attempt.sent(keys, context.now);
        let Some(path) = self.path else { return };
        let purpose = attempt.purpose();
        let request = Request {
            purpose,
            stamp: Stamp::default(),
            transport,
            spi: association.spi,
            home_address,
            path,
            attachment: self.attachment,
            sent: context.now,
        };
        // A nonce is good for one message, which may have arrived.
        let unanswered = self
            .outstanding
            .latest()
            .filter(|latest| association.uses_nonces(family) && latest.asks_like(&request))
            .copied();
        let request = unanswered.unwrap_or_else(|| Request {
            stamp: context.next_stamp(family, &association),
            ..request
        });
        let update = BindingUpdate {
            identity: &context.config.identity,
            home_address,
            home_agent: self.signalling,
            care_of: path.care_of,
            // The home agent may know another care-of address.
            everywhere: confirmed.is_some_and(|confirmed| confirmed != self.attachment),
            lifetime: if purpose == Purpose::Release {
                Lifetime::Zero
            } else {
                Lifetime::Infinite
            },
            stamp: request.stamp,
            transport,
            elements: (self.authority).elements(purpose, path.care_of, &association),
        };
        let Some(payload) = signalling::encode(&update, &association) else {
            return;
        };
        context.memory.pace.sent(context.now);
        context.out.counters.requests += 1;
        context.out.counters.retransmissions += u64::from(again);
        self.told = Some(self.attachment);
        if unanswered.is_none() {
            self.outstanding.push(request);
        }
        context.out.transmit(Transmit {
            source: path.care_of.ip(),
            interface: Some(path.interface),
            destination: self.signalling,
            transport,
            home_address: None,
            payload,
        });
    }

    /// The home agent says, or somebody in its place, that it does not have the key of the last message:
    /// the next, with another one, need not wait. False if there is none that was not tried.
    pub(super) fn try_next_key(&mut self, context: &mut Context<'_>) -> bool {
        let keys = self.authority.keys();
        let untried = self
            .attempt()
            .is_some_and(|attempt| attempt.has_untried(keys));
        if untried {
            self.hurry_on(context);
        }
        untried
    }

    /// Make the data path follow the path: at once if the installed one no longer works, only by
    /// the home agent's answer if it does.
    pub(super) fn follow(&self, binding: &mut Established, context: &mut Context<'_>) {
        let Some(path) = self.path else { return };
        let same_address = path.care_of == binding.installed.care_of;
        if path != binding.installed && (same_address || !self.usable) {
            binding.installed = path;
            self.install(binding, context);
        }
    }

    pub(super) fn install(&self, binding: &mut Established, context: &mut Context<'_>) {
        binding.carried = true;
        let tunnel = Tunnel {
            home_address: binding.home_address,
            endpoints: TunnelEndpoints {
                local: binding.installed.care_of.ip(),
                remote: binding.tunnel_end,
                interface: Some(binding.installed.interface),
            },
            former_remote: None,
            reachability: Reachability::Proven,
            encapsulation: Encapsulation::within(self.agent.family()),
            correspondents: Arc::clone(&self.correspondents),
            withdrawn: self.withdrawn.iter().copied().map(IpNet::from).collect(),
        };
        context.out.install(self.agent, tunnel);
    }

    pub(super) fn remove(&self, binding: &Established, context: &mut Context<'_>) {
        if binding.carried {
            context.out.remove(binding.home_address);
        }
    }

    /// Whether no message has left since the care-of address changed.
    pub(super) fn is_news(&self) -> bool {
        self.told != Some(self.attachment)
    }

    pub(super) fn concerns_present(&self, request: &Request, purpose: Purpose) -> bool {
        request.purpose == purpose && request.attachment == self.attachment
    }

    /// Use this path from now on.
    pub(super) fn take_path(&mut self, path: Option<Path>) {
        if let Some(path) = path
            && self.attached_as != Some(path.care_of)
        {
            self.attached_as = Some(path.care_of);
            self.attachment += 1;
        }
        self.path = path;
    }

    /// Whether the data path still uses, and can use, another path than messages do.
    pub(super) fn has_working_other(&self, binding: &Established) -> bool {
        self.usable
            && self
                .path
                .is_some_and(|path| path.care_of != binding.installed.care_of)
    }

    /// New sockets toward these correspondents may take the home address.
    pub(super) fn offer(&mut self, correspondents: &BTreeSet<IpAddr>, context: &mut Context<'_>) {
        let withdrawn = &self.withdrawn - correspondents;
        self.change_correspondents(withdrawn, context);
    }

    /// New sockets toward these correspondents shall not take the home address any longer. A binding
    /// that is of no use then, and never was, is given up.
    pub(super) fn withdraw(
        &mut self,
        correspondents: &BTreeSet<IpAddr>,
        context: &mut Context<'_>,
    ) {
        let withdrawn = &self.withdrawn | correspondents;
        self.change_correspondents(withdrawn, context);
        let is_carried = self.binding().is_some_and(|binding| binding.carried);
        if !is_carried && self.withdrawn.len() == self.correspondents.len() {
            self.handle(Input::Unwanted, context);
        }
    }

    pub(super) fn update_correspondents(&mut self, context: &mut Context<'_>) {
        self.change_correspondents(self.withdrawn.clone(), context);
    }

    fn change_correspondents(
        &mut self,
        mut withdrawn: BTreeSet<IpAddr>,
        context: &mut Context<'_>,
    ) {
        let correspondents = collect_correspondents(&self.names);
        withdrawn.retain(|one| correspondents.contains(&IpNet::from(*one)));
        context.out.snapshot_changed();
        if correspondents == self.correspondents && withdrawn == self.withdrawn {
            return;
        }
        self.correspondents = correspondents;
        self.withdrawn = withdrawn;
        let mut binding = self.binding().filter(|binding| binding.carried).cloned();
        if let Some(binding) = &mut binding {
            self.install(binding, context);
        }
    }

    pub(super) fn choose_path(&mut self, context: &mut Context<'_>) {
        let avoided = self.avoided.filter(|avoided| context.now < avoided.until);
        let path = match (self.preferred, avoided, self.binding()) {
            (Some(preferred), Some(avoided), Some(binding)) if avoided.path == preferred => {
                Some(binding.installed)
            }
            (preferred, _, _) => preferred,
        };
        let returned = self.path.is_none() && path.is_some();
        self.take_path(path);
        self.handle(Input::Path { returned }, context);
    }

    /// When the avoided path is tried again, if it is not being used.
    pub(super) fn retry_avoided_at(&self) -> Option<Instant> {
        self.avoided
            .filter(|avoided| self.path != Some(avoided.path))
            .map(|avoided| avoided.until)
    }
}

pub(super) fn collect_correspondents(names: &BTreeMap<String, BTreeSet<IpAddr>>) -> Arc<[IpNet]> {
    names
        .values()
        .flatten()
        .copied()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(IpNet::from)
        .collect()
}
