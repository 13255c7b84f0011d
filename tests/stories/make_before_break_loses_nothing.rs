//! The second interface is up before the first one goes: not one probe is lost, in either direction.

use std::time::Duration;

use lab::{
    Stage, Story, Told, ensure,
    stage::BOUND,
    udp::{Direction, Probes},
};

const INTERVAL: Duration = Duration::from_millis(5);
/// How many probes go from one move to the next: two seconds' worth. What went to a proven address in that time
/// is what may go to the next one before it is proven, and neighbours take up to a second to find a new address.
const BETWEEN_MOVES: usize = 440;

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    stage.bind()?;
    for (direction, port) in [(Direction::Up, 9001), (Direction::Down, 9002)] {
        let probes = Probes::start(
            stage.laptop.node(),
            &stage.site.server,
            stage.site.address,
            port,
            direction,
            INTERVAL,
        )?;
        probes.wait_for_more(BETWEEN_MOVES, BOUND)?;
        for _ in 0..3 {
            stage.glide_on()?;
            probes.wait_for_more(BETWEEN_MOVES, BOUND)?;
        }
        let (lost, arrived) = (probes.lost(), probes.counts().1);
        ensure(lost == 0, || {
            format!("{direction:?}: {lost} probes lost beside {arrived}")
        })?;
        story.saw(format!(
            "{direction:?}: {arrived} probes through three moves, none lost"
        ));
    }
    Ok(())
}
