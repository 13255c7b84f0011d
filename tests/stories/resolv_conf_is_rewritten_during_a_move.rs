//! A DHCP client rewrites resolv.conf at a move: its server becomes the relay's upstream, the relay stays in front.

use lab::{
    Failure, HttpServer, NameServer, Node, Stage, Story, Told, ensure, stage::BOUND, wait_for,
};

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let node = Node::new("names2")?;
    let addresses = stage.internet.connect(&node)?;
    let second = NameServer::start(node, addresses)?;
    let address = second.address();
    second.set("server.example", stage.site.address);
    second.set("cha.server.example", stage.site.agent);
    stage
        .curl(&["-o", "/dev/null", "http://server.example/1000"])
        .finish(BOUND)?
        .success()?;
    let first_time = stage.laptop.node().resolv_conf()?;
    ensure(first_time.contains("127.0.0.153"), || {
        format!("resolv.conf was {first_time:?}")
    })?;

    stage.move_on()?;
    let foreign = format!("# from the train\nsearch train.example\nnameserver {address}\n");
    stage.laptop.node().write_resolv_conf(&foreign)?;
    stage.internet.names().die();
    let ours = wait_for("the relay to be back in resolv.conf", BOUND, || {
        let text = stage.laptop.node().resolv_conf()?;
        Ok::<_, Failure>(
            (text.contains("127.0.0.153") && text.contains(&address.to_string())).then_some(text),
        )
    })?;
    let place = |what: &str| ours.find(what).unwrap_or(usize::MAX);
    ensure(place("127.0.0.153") < place(&address.to_string()), || {
        format!("resolv.conf is {ours:?}")
    })?;
    ensure(ours.contains("search train.example"), || {
        format!("the search list is lost: {ours:?}")
    })?;
    stage
        .curl(&["-o", "/dev/null", "http://server.example/1000"])
        .finish(BOUND)?
        .success()?;
    ensure(
        web.served().len() == 2 && stage.is_lent(web.served()[1].peer.ip()),
        || format!("served {:?}", web.served()),
    )?;
    ensure(second.asked("server.example") > 0, || {
        "the new name server was not asked".to_owned()
    })?;

    stage.agent.stop()?;
    let restored = stage.laptop.node().resolv_conf()?;
    ensure(restored == foreign, || {
        format!("after the end resolv.conf is {restored:?}")
    })?;
    story.saw("the new name server answered through the relay after the move, and resolv.conf is as the DHCP client left it");
    Ok(())
}
