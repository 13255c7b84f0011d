//! The name server dies and returns: held sessions do not notice, new names work again when it is back.

use lab::{
    Failure, HttpServer, Stage, Story, Told, ensure,
    stage::{BOUND, check_body, wait_for_size},
    wait_for,
};

const OCTETS: usize = 2_000_000;

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let file = stage.laptop.node().directory().join("download");
    let url = format!("http://server.example/{OCTETS}/500000");
    let mut held = stage.curl(&["-o", &file.to_string_lossy(), &url]).start()?;
    let size = wait_for_size(&file, 50_000, BOUND)?;
    stage.internet.names().die();
    stage.move_and_wait()?;
    wait_for_size(&file, size + 100_000, BOUND)?;
    let lost = stage
        .curl(&["-m", "2", "http://unknown.example/1"])
        .finish(BOUND)?;
    ensure(lost.code() != 0, || {
        "a name was found without a name server".to_owned()
    })?;
    stage.internet.names().revive()?;
    stage
        .internet
        .names()
        .set("late.example", stage.site.address);
    let back = wait_for("names to work again", BOUND, || {
        let fetched = stage
            .curl(&[
                "-m",
                "3",
                "-o",
                "/dev/null",
                "-w",
                "%{time_total}",
                "http://late.example/10",
            ])
            .finish(BOUND)?;
        Ok::<_, Failure>((fetched.code() == 0).then_some(fetched.stdout))
    })?;
    held.finish(BOUND)?.success()?;
    check_body(&file, OCTETS)?;
    ensure(web.served()[0].complete, || {
        "the held session did not end well".to_owned()
    })?;
    story.saw(format!(
        "a download and a move without a name server; a new name {back} s after its return"
    ));
    Ok(())
}
