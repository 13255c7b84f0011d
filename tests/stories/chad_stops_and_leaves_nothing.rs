//! SIGTERM at chad removes everything it added; so does a start and stop after SIGKILL.

use lab::{
    HomeAgent, Internet, SiteKind, Story, Told, ensure,
    stage::{difference, footprint},
};

pub(crate) fn tell(story: &Story) -> Told {
    let mut internet = Internet::new(&["cafe"])?;
    let site = internet.site("server.example", SiteKind::Gateway)?;
    let before = footprint(&site.gateway)?;
    let mut chad = HomeAgent::start(&site)?;
    let during = footprint(&site.gateway)?;
    ensure(during != before, || "chad changed nothing".to_owned())?;
    let same = |when: &str| {
        let after = footprint(&site.gateway)?;
        ensure(before == after, || {
            format!("left behind after {when}:\n{}", difference(&before, &after))
        })
    };
    chad.stop()?;
    same("SIGTERM")?;
    chad.run()?;
    chad.kill()?;
    chad.run()?;
    chad.stop()?;
    same("SIGKILL, start and SIGTERM")?;
    story.saw(format!(
        "added and removed: {}",
        difference(&before, &during).lines().count()
    ));
    Ok(())
}
