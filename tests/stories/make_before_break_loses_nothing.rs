//! The second interface is up before the first one goes: not one probe is lost, in either direction.

use std::time::Duration;

use lab::{
    Stage, Story, Told, ensure, eventually,
    stage::BOUND,
    udp::{Direction, Probes},
};

const INTERVAL: Duration = Duration::from_millis(5);

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    stage
        .agent
        .command(&["bind", "server.example"])?
        .success()?;
    for (direction, port) in [(Direction::Up, 9001), (Direction::Down, 9002)] {
        let probes = Probes::start(
            stage.laptop.node(),
            &stage.site.server,
            stage.site.address,
            port,
            direction,
            INTERVAL,
        )?;
        eventually("probes to arrive", BOUND, || probes.counts().1 > 40)?;
        for _ in 0..3 {
            stage.glide_on()?;
            let arrived = probes.counts().1;
            eventually("probes to arrive after the move", BOUND, || {
                probes.counts().1 > arrived + 40
            })?;
        }
        let received = probes.received();
        let last = received
            .iter()
            .map(|(number, _)| *number)
            .max()
            .unwrap_or_default();
        let mut numbers: Vec<usize> = received.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let lost = last + 1 - numbers.len();
        ensure(lost == 0, || {
            format!("{direction:?}: {lost} of {} probes lost", last + 1)
        })?;
        story.saw(format!(
            "{direction:?}: {} probes through three moves, none lost",
            last + 1
        ));
    }
    Ok(())
}
