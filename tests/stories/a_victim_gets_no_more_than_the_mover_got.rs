//! Somebody has what is sent to him delivered to a victim, again and again: chad sends the victim no more than it had
//! sent to him.

use std::{net::IpAddr, thread, time::Duration};

use lab::{
    Attacker, Capture, Fleet, LabError, Stage, Story, Told, ensure, fail, signalling::Words,
    stage::BOUND, udp, wait::patience, wait_for,
};

const DATAGRAMS: usize = 8_000;
const OCTETS: usize = 1_000;
const GAP: Duration = Duration::from_millis(1);
/// A port nobody listens at.
const DISCARD: u16 = 9;
const MOVES: usize = 4;
/// Octets that he lets come to himself between two moves.
const BETWEEN: usize = 400_000;

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    let victim = stage.care_of();
    let agent = stage.site.agent;
    let mut fleet = Fleet::new(&mut stage.internet, &stage.site, 1)?;
    fleet.bind(0..1)?;
    fleet.usurp(victim)?;
    let bound = fleet.bindings()?;
    let Some((home_address, own)) = bound.first_key_value() else {
        return fail("no binding");
    };
    let filter = format!("({}) and src host {agent}", Words::of_this_story().tunnels);
    let mut capture = Attacker::listen_at(&stage.site.gateway, &filter)?;
    let (server, to) = (stage.site.server.clone(), (*home_address, DISCARD).into());
    let gap = GAP * patience();
    let stream =
        thread::spawn(move || udp::send_all(&server, to, vec![vec![0x2a; OCTETS]; DATAGRAMS], gap));
    for _ in 0..MOVES {
        let enough = got(&capture, agent, *own)? + BETWEEN;
        wait_for("datagrams to the mover", BOUND, || {
            Ok::<_, LabError>((got(&capture, agent, *own)? >= enough).then_some(()))
        })?;
        let before = stage.chad.status()?.counter("drop_no_credit");
        fleet.pretend(0, Some(victim))?;
        stage
            .chad
            .wait_for_status("the credit to be used up", BOUND, |status| {
                status.counter("drop_no_credit") > before
            })?;
        fleet.pretend(0, None)?;
    }
    let after = stage.chad.status()?;
    capture.stop()?;
    let (mover, victims) = (got(&capture, agent, *own)?, got(&capture, agent, victim)?);
    ensure(victims <= mover, || {
        format!("the victim was sent {victims} octets, the mover {mover}")
    })?;
    ensure(victims > 0, || "nothing was ever moved".to_owned())?;
    match stream.join() {
        Ok(sent) => sent?,
        Err(_) => return fail("the stream broke off"),
    }
    story.saw(format!(
        "{MOVES} moves of a stream onto a victim: it was sent {victims} octets, the mover {mover}; {} packets were dropped for want of credit",
        after.counter("drop_no_credit")
    ));
    Ok(())
}

/// How many octets of tunnelled packets somebody was sent.
fn got(capture: &Capture, agent: IpAddr, who: IpAddr) -> Result<usize, LabError> {
    Ok(capture.tolls(agent)?.get(&who).map_or(0, |toll| toll.1))
}
