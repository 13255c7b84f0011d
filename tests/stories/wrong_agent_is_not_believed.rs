//! Agents that accept without knowing the key, that answer another request, that send rubbish: nobody believes them.

use lab::{Behaviour, Story, Told, ensure};

use crate::plain_connection::{Street, tell_of, within_the_hold};

pub(crate) fn tell(story: &Story) -> Told {
    let mut street = Street::new()?;
    for (name, behaviour) in [
        ("forged.example", Behaviour::WrongAuthenticator),
        ("late.example", Behaviour::WrongIdentification),
        ("rubbish.example", Behaviour::Rubbish),
    ] {
        let before = street.agent.status()?.drops();
        let agent = street.house_with(name, behaviour)?;
        let took = street.fetch_plainly(name)?;
        within_the_hold(name, took)?;
        let status = street.agent.status()?;
        ensure(
            status
                .bindings
                .iter()
                .all(|binding| binding.state != "active"),
            || format!("{name}: {status:?}"),
        )?;
        ensure(status.drops() > before, || {
            format!(
                "{name}: nothing was counted as dropped: {:?}",
                status.counters
            )
        })?;
        tell_of(
            story,
            &format!("{behaviour:?}"),
            took,
            agent.requests().len(),
        );
    }
    Ok(())
}
