//! The better network hears and does not answer: what works stays where it works.

use lab::{
    HttpServer, Stage, Story, Told, ensure,
    stage::{BOUND, check_body, wait_for_size},
};

const OCTETS: usize = 2_500_000;

pub(crate) fn tell(story: &Story) -> Told {
    let stage = Stage::new()?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let file = stage.laptop.node().directory().join("download");
    let url = format!("http://server.example/{OCTETS}/500000");
    let mut held = stage.curl(&["-o", &file.to_string_lossy(), &url]).start()?;
    let size = wait_for_size(&file, 50_000, BOUND)?;
    stage.train.lead_nowhere(true)?;
    // Carrier, address and a preferred default route, but nothing behind its router.
    stage.laptop.also_join(&stage.train)?;
    wait_for_size(&file, size + 700_000, BOUND)?;
    let bindings = stage.agent.status()?.bindings;
    let chad = stage.chad.status()?;
    held.finish(BOUND)?.success()?;
    check_body(&file, OCTETS)?;
    ensure(web.served().len() == 1, || {
        format!("the server saw {:?}", web.served())
    })?;
    let at = chad.bindings.first().and_then(|binding| binding.care_of);
    ensure(at == Some(stage.care_of()), || {
        format!("at chad: {:?}; at the agent: {bindings:?}", chad.bindings)
    })?;
    story.saw(format!(
        "the download went on from {} with a dead default route beside it",
        stage.care_of()
    ));
    Ok(())
}
