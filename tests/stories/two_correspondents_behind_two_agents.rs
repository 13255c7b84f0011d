//! Two servers behind two agents at once: each lends its own address, both sessions survive the same moves.

use lab::{
    HomeAgent, HttpServer, SiteKind, Stage, Story, Told, ensure,
    stage::{BOUND, check_body, wait_for_size},
};

const OCTETS: usize = 2_000_000;

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    let shop = stage.internet.site("shop.example", SiteKind::Gateway)?;
    let shop_chad = HomeAgent::start(&shop)?;
    let webs = [
        HttpServer::start(&stage.site.server, 80)?,
        HttpServer::start(&shop.server, 80)?,
    ];
    let files = ["first", "second"].map(|name| stage.laptop.node().directory().join(name));
    let mut curls = Vec::new();
    for (name, file) in ["server.example", "shop.example"].iter().zip(&files) {
        let url = format!("http://{name}/{OCTETS}/600000");
        curls.push(stage.curl(&["-o", &file.to_string_lossy(), &url]).start()?);
        wait_for_size(file, 10_000, BOUND)?;
    }
    for _ in 0..3 {
        let address = stage.move_and_wait()?;
        stage.agent.wait_for_binding(shop.agent, address, BOUND)?;
        for file in &files {
            let size = wait_for_size(file, 0, BOUND)?;
            wait_for_size(file, (size + 50_000).min(OCTETS as u64), BOUND)?;
        }
    }
    for (curl, file) in curls.iter_mut().zip(&files) {
        curl.finish(BOUND)?.success()?;
        check_body(file, OCTETS)?;
    }
    let peers: Vec<_> = webs.iter().map(HttpServer::peers).collect();
    ensure(peers[0].len() == 1 && stage.is_lent(peers[0][0]), || {
        format!("the first server saw {:?}", peers[0])
    })?;
    let second_fits = peers[1].len() == 1 && shop.pool.contains(&peers[1][0]);
    ensure(second_fits, || {
        format!("the second server saw {:?}", peers[1])
    })?;
    let bound = [
        stage.chad.status()?.bindings.len(),
        shop_chad.status()?.bindings.len(),
    ];
    ensure(bound.iter().all(|count| *count <= 1), || {
        format!("bindings at the two agents: {bound:?}")
    })?;
    story.saw(format!(
        "{} at one server and {} at the other, both downloads whole after three moves",
        peers[0][0], peers[1][0]
    ));
    Ok(())
}
