//! The mobile nodes of one site get as many home addresses as its quota says; others get theirs all the same.

use lab::{Fleet, HttpServer, Stage, Story, Told, ensure, stage::BOUND};

const QUOTA: u32 = 8;

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::with(|chad| chad.quota = QUOTA, |_| {})?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let quota = usize::try_from(QUOTA)?;
    let mut fleet = Fleet::new(&mut stage.internet, &stage.site, quota + 2)?;
    fleet.bind(0..quota)?;
    for number in [quota, quota + 1] {
        let refused = fleet.bind(number..number + 1);
        ensure(refused.is_err(), || {
            format!("number {} got an address, too", number + 1)
        })?;
    }
    let status = stage.chad.status()?;
    let refused = status.counter("refused_site_quota") + status.counter("refused_host_quota");
    ensure(refused == 2, || format!("counted {refused} times"))?;
    ensure(status.bindings.len() == quota, || {
        format!("{} bindings", status.bindings.len())
    })?;
    stage
        .curl(&["-o", "/dev/null", "http://server.example/1000"])
        .finish(BOUND)?
        .success()?;
    let last = web.served().last().map(|served| served.peer.ip());
    ensure(last.is_some_and(|peer| stage.is_lent(peer)), || {
        format!("the laptop came from {last:?}")
    })?;
    story.saw(format!(
        "{quota} of {} mobile nodes of one site have addresses, and the laptop from elsewhere came from {last:?}",
        quota + 2
    ));
    Ok(())
}
