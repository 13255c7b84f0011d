//! Who asks for a binding where one stands: the way to the new correspondent is all he waits for.

use super::*;

const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 81);

#[test]
fn a_binding_that_stands_is_told_of_once_the_way_is_made_and_without_a_message() {
    let refreshing = |laptop: &mut Laptop| laptop.advance(seconds(480));
    let moving = |laptop: &mut Laptop| laptop.path(Some(path(2)), false);
    let moving_gently = |laptop: &mut Laptop| laptop.path(Some(path(2)), true);
    let away = |laptop: &mut Laptop| laptop.path(None, false);
    let states: [&dyn Fn(&mut Laptop); 5] = [&|_| {}, &refreshing, &moving, &moving_gently, &away];
    for prepare in states {
        let mut laptop = Laptop::active();
        prepare(&mut laptop);
        let state = laptop.state();
        let asked = laptop.node.bind(
            agent(),
            "other.example",
            &[OTHER.into()],
            SecurityAssociation::open_mode(),
            laptop.now,
        );
        assert_eq!(asked, Ok(()));
        assert_eq!(laptop.node.poll_transmit(), None, "{state:?}");
        let events: Vec<Event> = std::iter::from_fn(|| laptop.node.poll_event()).collect();
        let leads_there = |event: &Event| {
            matches!(event, Event::Dataplane(DataplaneChange::Install(tunnel))
                if tunnel.correspondents.iter().any(|one| one.addr() == IpAddr::from(OTHER)))
        };
        let made = events.iter().position(leads_there);
        let told = events.iter().position(|event| *event == active_event());
        assert!(made.is_some() && made < told, "{state:?}: {events:?}");
    }
}
