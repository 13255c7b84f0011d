//! The pool is empty: code 130, connections go plainly. Addresses come back: bindings again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lab::{
    Failure, Family, HttpServer, Stage, Story, Told, ensure, fail, fake_agent::Request,
    stage::BOUND, wait_for,
};

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::with(
        |chad| {
            let eight = chad.pool.max_prefix_len() - 3;
            chad.pool = ipnet::IpNet::new_assert(chad.pool.addr(), eight);
            chad.hold_down = 1;
            chad.legacy_open = true;
        },
        |_| {},
    )?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let crowd = stage.internet.laptop("crowd")?;
    crowd.move_to(&stage.train)?;
    let (agent, care_of) = (stage.site.agent, crowd.address_in(&stage.train));
    let mut taken = 0;
    let refused = loop {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 2_208_988_800;
        let identity = format!("guest-{taken}@example.org");
        let request = Request {
            home_address: Family::of_this_story().unspecified(),
            home_agent: agent,
            care_of_address: care_of,
            lifetime: 4,
            identification: seconds << 32 | taken,
            identity: &identity,
        };
        match request.ask(crowd.node(), BOUND)? {
            Some(0 | 1) if taken < 8 => taken += 1,
            Some(code) => break code,
            None => return fail(format!("no reply to guest {taken}")),
        }
    };
    ensure(refused == 130 && taken >= 4, || {
        format!("after {taken} guests of a /29 the code is {refused}")
    })?;
    let fetch = || {
        stage
            .curl(&[
                "-o",
                "/dev/null",
                "-w",
                "%{time_connect}",
                "http://server.example/10",
            ])
            .finish(BOUND)?
            .success()
    };
    let took = fetch()?.stdout;
    ensure(web.peers() == [stage.care_of()], || {
        format!("with an empty pool curl came from {:?}", web.peers())
    })?;
    let used = stage.chad.status()?.pool_sum("used");
    wait_for("an address for the laptop", Duration::from_secs(20), || {
        fetch()?;
        let last = web.served().last().map(|served| served.peer.ip());
        Ok::<_, Failure>(last.filter(|peer| stage.is_lent(*peer)))
    })?;
    story.saw(format!("{taken} guests fill the pool ({used} used), then code {refused}; curl went plainly in {took} s, later from the pool"));
    Ok(())
}
