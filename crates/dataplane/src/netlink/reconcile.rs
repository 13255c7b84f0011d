//! From the routes and rules that should be to those that are: what is ours is found by its tag,
//! what is missing is added, what is too much is removed, what belongs to others is not touched.

use std::collections::BTreeSet;

use mobility_protocol::Family;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAttribute, RouteFlags, RouteMessage};
use netlink_packet_route::rule::{RuleAttribute, RuleMessage};

use super::messages::{self, Route, Rule};
use super::requests::Verb;
use super::{Netlink, families};
use crate::Error;
use crate::error::Errors;

/// Routes and rules, either those that should be or those that are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    pub(crate) routes: BTreeSet<Route>,
    pub(crate) rules: BTreeSet<Rule>,
}

/// What happens to tagged routes and rules that should not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surplus {
    /// They stay.
    Keep,
    /// They are removed.
    Remove,
}

impl Netlink {
    /// Brings what is ours in `tables` (routing tables) to what is `wanted`, and tells how much it
    /// had to add. Every step is tried.
    pub(crate) async fn reconcile(
        &self,
        tables: &[u32],
        wanted: &Tables,
        surplus: Surplus,
    ) -> Result<usize, Error> {
        let mut errors = Errors::default();
        let mut present = Tables::default();
        let routes = errors.note(self.our_routes(tables).await);
        let rules = errors.note(self.our_rules(tables).await);
        let mut unwanted_routes = Vec::new();
        for message in routes.unwrap_or_default() {
            match Route::from_message(&message).filter(|route| wanted.routes.contains(route)) {
                Some(route) => drop(present.routes.insert(route)),
                None => unwanted_routes.push(message),
            }
        }
        let mut unwanted_rules = Vec::new();
        for message in rules.unwrap_or_default() {
            match Rule::from_message(&message).filter(|rule| wanted.rules.contains(rule)) {
                // A rule may be there twice.
                Some(rule) if present.rules.insert(rule) => {}
                _ => unwanted_rules.push(message),
            }
        }
        if surplus == Surplus::Remove {
            for message in unwanted_rules {
                errors.note(self.delete_rule(message).await);
            }
            for message in unwanted_routes {
                errors.note(self.delete_route(message).await);
            }
        }
        let mut added = 0;
        for route in wanted.routes.difference(&present.routes) {
            added += usize::from(errors.note(self.add_route(route).await).is_some());
        }
        for rule in wanted.rules.difference(&present.rules) {
            added += usize::from(errors.note(self.add_rule(rule).await).is_some());
        }
        errors.into_result().map(|()| added)
    }

    pub(crate) async fn add_route(&self, route: &Route) -> Result<(), Error> {
        let attempt = format!(
            "add the route to {} in table {}",
            route.destination, route.table
        );
        let change = RouteNetlinkMessage::NewRoute(route.message());
        match self.0.ask(&attempt, change.clone(), Verb::Create).await {
            Err(error) if error.is_present() => {}
            other => return other.map(drop),
        }
        let mut leftover = None;
        let mut routes = self.routes_of(route.family()).await?;
        routes.retain(|message| table_of(message) == route.table);
        for message in routes {
            match Route::from_message(&message) {
                Some(present) if present == *route => return Ok(()),
                Some(present)
                    if present.destination == route.destination
                        && present.unset_source == route.unset_source
                        && present.metric == route.metric =>
                {
                    leftover = Some(message);
                }
                _ => {}
            }
        }
        // A former run's route with the same key but another device or source makes room.
        let Some(leftover) = leftover else {
            return Err(Error::RouteTaken {
                destination: route.destination,
                table: route.table,
            });
        };
        self.delete_route(leftover).await?;
        self.0.ask(&attempt, change, Verb::Create).await.map(drop)
    }

    pub(crate) async fn remove_route(&self, route: &Route) -> Result<(), Error> {
        self.delete_route(route.message()).await
    }

    pub(crate) async fn add_rule(&self, rule: &Rule) -> Result<(), Error> {
        let attempt = format!("add the rule {}", rule.preference);
        self.ensure(&attempt, RouteNetlinkMessage::NewRule(rule.message()))
            .await
    }

    pub(crate) async fn remove_rule(&self, rule: &Rule) -> Result<(), Error> {
        self.delete_rule(rule.message()).await
    }

    async fn our_routes(&self, tables: &[u32]) -> Result<Vec<RouteMessage>, Error> {
        let mut routes = Vec::new();
        for family in families() {
            routes.extend(self.routes_of(family).await?);
        }
        routes.retain(|route| tables.contains(&table_of(route)));
        Ok(routes)
    }

    /// Our routes of a family, in every table. What the kernel has learnt about paths looks like
    /// routes too, and is not ours.
    async fn routes_of(&self, family: Family) -> Result<Vec<RouteMessage>, Error> {
        let question = RouteNetlinkMessage::GetRoute(messages::route_dump(family));
        let answers = self.0.ask("list the routes", question, Verb::Dump).await?;
        let routes = answers.into_iter().filter_map(|answer| {
            if let RouteNetlinkMessage::NewRoute(route) = answer {
                Some(route)
            } else {
                None
            }
        });
        Ok(routes
            .filter(messages::route_is_ours)
            .filter(|route| !route.header.flags.contains(RouteFlags::Cloned))
            .collect())
    }

    /// Our rules for these tables. Rules without a table belong to the same owner as the others, and
    /// only the mobile node has rules.
    async fn our_rules(&self, tables: &[u32]) -> Result<Vec<RuleMessage>, Error> {
        if tables == [messages::MAIN_TABLE] {
            return Ok(Vec::new());
        }
        let mut rules = Vec::new();
        for family in families() {
            let question = RouteNetlinkMessage::GetRule(messages::rule_dump(family));
            let answers = self.0.ask("list the rules", question, Verb::Dump).await?;
            rules.extend(answers.into_iter().filter_map(|answer| {
                if let RouteNetlinkMessage::NewRule(rule) = answer {
                    Some(rule)
                } else {
                    None
                }
            }));
        }
        rules.retain(messages::rule_is_ours);
        Ok(rules)
    }

    pub(super) async fn delete_route(&self, mut message: RouteMessage) -> Result<(), Error> {
        // States and counters of the dump are no part of a route's identity, and some are refused.
        message.header.flags = RouteFlags::empty();
        message.attributes.retain(|attribute| {
            matches!(
                attribute,
                RouteAttribute::Destination(_)
                    | RouteAttribute::Source(_)
                    | RouteAttribute::Table(_)
                    | RouteAttribute::Priority(_)
                    | RouteAttribute::Oif(_)
                    | RouteAttribute::PrefSource(_)
                    | RouteAttribute::Gateway(_)
            )
        });
        let change = RouteNetlinkMessage::DelRoute(message);
        self.ensure_gone("remove a route", change).await
    }

    async fn delete_rule(&self, mut message: RuleMessage) -> Result<(), Error> {
        message.attributes.retain(|attribute| {
            !matches!(
                attribute,
                RuleAttribute::SuppressPrefixLen(_)
                    | RuleAttribute::SuppressIfGroup(_)
                    | RuleAttribute::Other(_)
            )
        });
        let change = RouteNetlinkMessage::DelRule(message);
        self.ensure_gone("remove a rule", change).await
    }
}

fn table_of(message: &RouteMessage) -> u32 {
    let attribute = message.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Table(table) = attribute {
            Some(*table)
        } else {
            None
        }
    });
    attribute.unwrap_or_else(|| u32::from(message.header.table))
}
