//! With the kernel's own ipip loaded, user space still carries, and the kernel does not answer in between.

use lab::{
    Capture, Family, HttpServer, Node, Stage, Story, Told, ensure,
    signalling::Words,
    stage::{BOUND, check_body, wait_for_size},
};

const OCTETS: usize = 500_000;

pub(crate) fn tell(story: &Story) -> Told {
    // Elsewhere, so that the kernel knows of tunnels and yet has no tunnel where chad is.
    let neighbour = Node::new("neighbour")?;
    neighbour.run(|network| network.tunnel("other", Family::of_this_story()))?;
    let mut stage = Stage::new()?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let mut capture = Capture::start(&stage.site.gateway, "uplink", "icmp or icmp6")?;
    let file = stage.laptop.node().directory().join("download");
    let url = format!("http://server.example/{OCTETS}/100000");
    // An emulated machine may be too slow for the hold.
    stage.bind()?;
    let mut curl = stage.curl(&["-o", &file.to_string_lossy(), &url]).start()?;
    wait_for_size(&file, 50_000, BOUND)?;
    stage.move_and_wait()?;
    curl.finish(BOUND)?.success()?;
    check_body(&file, OCTETS)?;
    ensure(stage.is_lent(web.peers()[0]), || {
        format!("the server saw {:?}", web.peers())
    })?;
    capture.stop()?;
    let unreachable = capture.count(Words::of_this_story().unreachable)?;
    ensure(unreachable == 0, || {
        format!("{unreachable} ICMP protocol unreachable")
    })?;
    story.saw("a download and a move with ipip loaded, no ICMP from the kernel");
    Ok(())
}
