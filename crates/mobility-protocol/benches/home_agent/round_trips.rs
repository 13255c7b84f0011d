//! How often question and answer cross before there is a binding, and how much larger answers are than questions.

use std::time::{Duration, Instant};

use mobility_protocol::Family;
use mobility_protocol::home_agent::Quotas;
use mobility_protocol::mobile_node::{Event, Usage};

use crate::home_agent;
use crate::strangers::{Stranger, datagram, serve};

/// Prints them for a mobile node's first binding with a home agent, and for its next one.
pub(crate) fn count(begin: Instant) {
    for family in [Family::Ipv4, Family::Ipv6] {
        let mut agent = home_agent(Quotas::default(), begin);
        let mut stranger = Stranger::new(1, 1, family, begin);
        let mut now = begin;
        for what in ["first contact", "contact of who returns"] {
            stranger.asks(now);
            let (mut exchanges, mut until_active) = (Vec::new(), 0);
            while let Some(question) = stranger.machine.poll_transmit() {
                let answer = serve(&mut agent, &question, now).expect("an answer");
                exchanges.push((question.payload.len(), answer.payload.len()));
                stranger.machine.handle_input(datagram(&answer), now);
                while let Some(event) = stranger.machine.poll_event() {
                    if matches!(event, Event::Active { .. }) {
                        until_active = exchanges.len();
                    }
                }
            }
            let factor = exchanges
                .iter()
                .map(|(there, back)| *back as f64 / *there as f64);
            println!(
                "{:<45} round trips until the binding: {until_active}; octets there and back: {}; largest factor {:.2}",
                format!("{what}, {family}"),
                words(&exchanges),
                factor.fold(0.0, f64::max)
            );
            stranger.is_used(Usage::None, now);
            now += Duration::from_secs(10);
            stranger.machine.handle_timeout(now);
            while let Some(release) = stranger.machine.poll_transmit() {
                let answer = serve(&mut agent, &release, now).expect("an answer");
                stranger.machine.handle_input(datagram(&answer), now);
            }
            while stranger.machine.poll_event().is_some() {}
            now += Duration::from_secs(300);
            agent.handle_timeout(now);
            stranger.machine.handle_timeout(now);
        }
    }
}

fn words(exchanges: &[(usize, usize)]) -> String {
    let words = exchanges.iter();
    let words: Vec<String> = words
        .map(|(there, back)| format!("{there} and {back}"))
        .collect();
    words.join(", ")
}
