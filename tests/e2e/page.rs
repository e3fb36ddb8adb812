//! The status page in a real browser: it follows by itself, is readable without scripts and on a phone, and no name in
//! Consul becomes part of its code.

use std::{env, path::Path};

use tests::{Browser, Crew, Front, Outcome, Port, Run, Screen, Shape, Special, Stack};

/// The texts of all rows of tables.
const ROWS: &str = "[...document.querySelectorAll('tr')].map(row => [...row.cells].map(cell => cell.textContent).join(' | '))";

/// Whether some row has all of these in it, in this order.
fn row(parts: &[&str]) -> String {
    format!("{ROWS}.some(row => {})", after(parts))
}

fn after(parts: &[&str]) -> String {
    let parts = serde_json::Value::from(parts.to_vec()).to_string();
    format!("{parts}.reduce((at, part) => at < 0 ? at : row.indexOf(part, at), 0) >= 0")
}

/// Leaves a picture for people, where they want some.
async fn picture(browser: &mut Browser, name: &str) -> Outcome {
    match env::var_os("ROLECALL_PICTURES") {
        Some(folder) => browser.picture(&Path::new(&folder).join(format!("{name}.png"))).await,
        None => Ok(()),
    }
}

fn url(program: &tests::Rolecall) -> String {
    format!("http://{}/", program.address())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_in_consul_is_seen_without_a_reload_of_the_page() -> Outcome {
    let stack = Stack::start(Shape::LOCKED, |_| {}).await?;
    let mut browser = Browser::open(&url(&stack.render), Screen::DESK).await?;
    let [old, new] = [0, 1].map(|n: usize| format!("127.0.0.1:{}", stack.redis[n].port()));
    browser.shows("the master", &row(&["redis-0", "primary", "passing", &old])).await?;
    browser.shows("the replica", &row(&["redis-1", "replica", "passing", &new])).await?;
    browser.shows("what HAProxy runs", &row(&["redis_master/", &old, &old, "same"])).await?;
    browser
        .shows("that it is live", "document.getElementById('live').textContent.startsWith('live, ')")
        .await?;
    browser.tells("window.opened = 'before'").await?;
    picture(&mut browser, "desk").await?;

    stack.hand_over(0, 1).await?;
    browser.shows("the new master", &row(&["redis-1", "primary", "passing", &new])).await?;
    browser.shows("the new replica", &row(&["redis-0", "replica", "passing", &old])).await?;
    browser.shows("its server in HAProxy", &row(&["redis_master/", &new, &new, "same"])).await?;
    browser.shows("how it was applied", &row(&["by orders", " ms", "orders "])).await?;
    assert_eq!(browser.tells("window.opened").await?, "before", "the page was loaded anew");
    picture(&mut browser, "desk-after").await?;
    browser.look_with(Screen { dark: true, ..Screen::DESK }).await?;
    picture(&mut browser, "desk-dark").await?;
    assert_eq!(browser.complaints(), [""; 0]);

    let mut register = Browser::open(&url(&stack.registers[1]), Screen::PHONE).await?;
    register.shows("the role that register found", &row(&["redis-1", "master"])).await?;
    register.shows("that all fits", FITS).await?;
    picture(&mut register, "register-phone").await?;
    register.look_with(Screen::DESK).await?;
    picture(&mut register, "register-desk").await?;
    assert_eq!(register.complaints(), [""; 0]);
    Ok(())
}

/// Nothing has to be scrolled for sideways.
const FITS: &str = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
/// The same while something is there that is wider than a phone.
const WIDE: &str = "(() => {
    const wide = document.body.appendChild(document.createElement('p'));
    wide.textContent = 'wide';
    wide.style.width = '400px';
    const fits = FITS;
    wide.remove();
    return fits;
})()";
/// Code in the names of a service and its instance, that would change the title if it ran.
const HOSTILE: &str = "m<img/src=x/onerror=document.title='owned'><script>document.title='owned'</script>";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_text_and_fit_on_a_phone() -> Outcome {
    let port = Port::lease()?;
    let mut front = Front::start(port.number(), Special::default()).await?;
    let mut browser = Browser::open(&url(&front.render), Screen::PHONE).await?;
    browser.shows("the instance", &row(&["web", "m", &format!("127.0.0.1:{}", port.number())])).await?;
    assert_eq!(browser.tells("document.documentElement.clientWidth").await?, 375);
    browser.shows("that all fits", FITS).await?;
    let fits = browser.tells(&WIDE.replace("FITS", FITS)).await?;
    assert_eq!(fits, false, "what does not fit would not be seen");
    picture(&mut browser, "phone").await?;
    let long = format!("{}-{}", HOSTILE, "x".repeat(300));
    front.say_all(&[(&long, port.number())], "");
    let literal = serde_json::Value::from(long.as_str());
    browser.shows("the name as text", &format!("{ROWS}.some(row => row.includes({literal}))")).await?;
    browser
        .shows(
            "why HAProxy does not run it",
            "document.querySelector('section').innerText.includes('haproxy.cfg')",
        )
        .await?;
    assert_eq!(browser.tells("document.querySelectorAll('#page img, #page script').length").await?, 0);
    assert_eq!(browser.tells("document.title").await?, "rolecall render");
    for screen in [
        Screen::PHONE,
        Screen { width: 320, ..Screen::PHONE },
        Screen { width: 700, ..Screen::DESK },
        Screen::DESK,
    ] {
        browser.look_with(screen).await?;
        browser.shows("that all fits", FITS).await?;
    }
    browser.look_with(Screen { dark: true, ..Screen::PHONE }).await?;
    picture(&mut browser, "phone-trouble-dark").await?;
    browser.look_with(Screen::DESK).await?;
    picture(&mut browser, "desk-trouble").await?;
    assert_eq!(browser.complaints(), [""; 0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_scripts_the_tables_are_there() -> Outcome {
    let port = Port::lease()?;
    let front = Front::start(port.number(), Special::default()).await?;
    let address = format!("127.0.0.1:{}", port.number());
    let compared =
        |s: &serde_json::Value| s["templates"][0]["haproxy"]["servers"][0]["runs"]["address"] == *address;
    front.render.shows("what HAProxy runs", tests::PATIENCE, compared).await?;
    let (status, source) = front.render.page("").await?;
    assert_eq!(status, 200);
    assert!(source.contains(&format!("<span class=\"code\">{address}</span>")), "{source}");
    let mut browser = Browser::open(&url(&front.render), Screen { scripts: false, ..Screen::PHONE }).await?;
    browser.shows("the instance", &row(&["web", "m", "passing", &address])).await?;
    browser.shows("what HAProxy runs", &row(&["out/m", &address, &address, "same"])).await?;
    browser.shows("its age", "document.getElementById('live').textContent.startsWith('as of 20')").await?;
    browser.shows("that all fits", FITS).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_cut_off_says_so_and_comes_back() -> Outcome {
    let port = Port::lease()?;
    let mut front = Front::start(port.number(), Special::default()).await?;
    let mut browser = Browser::open(&url(&front.render), Screen::DESK).await?;
    let live = "document.getElementById('live').textContent.startsWith('live, ')";
    browser.shows("that it is live", live).await?;
    front.render.part.kill()?;
    let lost = "document.getElementById('live').textContent.startsWith('not connected; as of 20')";
    browser.shows("that it is cut off", lost).await?;
    browser.shows("what was last known", &row(&["web", "m"])).await?;
    front.render.part.restart()?;
    browser.shows("that it is live again", live).await
}

const NOBODY: [u16; 3] = [61_061, 61_063, 61_065];

/// Whether the titles of the HAProxies say so, each with its state.
fn titles(wanted: [&str; 2]) -> String {
    let wanted = serde_json::Value::from(wanted.to_vec());
    format!(
        "JSON.stringify([...document.querySelectorAll('h3')].map(title => title.textContent).filter(title => \
         title.startsWith('HAProxy'))) === JSON.stringify({wanted})"
    )
}

/// Whether what stands below an HAProxy's title, up to the next title, says so.
fn below(name: &str, what: &str) -> String {
    format!(
        "(() => {{
    let [at, text] = [[...document.querySelectorAll('h3')].find(title => title.textContent.startsWith('HAProxy {name} ')), ''];
    while ((at = at?.nextElementSibling) && at.tagName !== 'H3') text += at.textContent;
    return text.includes('{what}');
}})()"
    )
}

/// How often the first HAProxy followed by orders and by reloads, once it runs a server at that port: where it does not
/// answer in time, it is reloaded.
async fn followed(crew: &Crew, port: u16) -> Outcome<[u64; 2]> {
    crew.runs(0, port).await?;
    let template = crew.shows(0, "that it followed", |haproxy| haproxy["state"] == "applied").await?;
    let count = |what: &str| template["haproxies"][0][what].as_u64().unwrap_or_default();
    Ok([count("steers"), count("reloads")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_two_haproxies_is_shown_as_it_is() -> Outcome {
    let mut crew = Crew::start(NOBODY[0], &[(Run::Master, ""), (Run::Tcp, "reload = \"always\"")]).await?;
    let mut browser = Browser::open(&url(&crew.render), Screen::DESK).await?;
    crew.say(&[("n", NOBODY[1])], "");
    let [orders, reloads] = followed(&crew, NOBODY[1]).await?;
    let how = if orders > 0 {
        ["by orders in a", " ms", "orders "]
    } else {
        ["by a reload in a", " ms", "reload "]
    };
    browser.shows("how the first followed", &row(&how)).await?;
    browser.shows("how the second followed", &row(&["by a reload in b", " ms", "reload "])).await?;
    browser.shows("both states", &titles(["HAProxy a applied", "HAProxy b applied"])).await?;
    let did = format!("by orders {orders} reloads {reloads} ");
    browser.shows("what the first did", &below("a", &did)).await?;
    browser.shows("what the second did", &below("b", "by orders 0 reloads 1 ")).await?;
    let same =
        format!("{ROWS}.filter(row => {}).length === 2", after(&["out/n", &NOBODY[1].to_string(), "same"]));
    browser.shows("what both run", &same).await?;
    picture(&mut browser, "two").await?;

    // One is gone, before there is anything to tell it.
    crew.mates[1].part.as_mut().expect("it runs").kill()?;
    browser.shows("that it is gone", &below("b", "does not run")).await?;
    crew.say(&[("m", NOBODY[2])], "");
    browser.shows("the states", &titles(["HAProxy a applied", "HAProxy b pending"])).await?;
    let blocks = "document.querySelector('section').innerText.includes('b: written; HAProxy does not run')";
    browser.shows("what blocks", blocks).await?;
    let [orders, reloads] = followed(&crew, NOBODY[2]).await?;
    let did = format!("by orders {orders} reloads {reloads} ");
    browser.shows("how the first followed", &below("a", &did)).await?;
    picture(&mut browser, "two-one-gone").await?;
    browser.look_with(Screen::PHONE).await?;
    browser.shows("that all fits", FITS).await?;
    picture(&mut browser, "two-phone").await?;
    browser.look_with(Screen { width: 320, ..Screen::PHONE }).await?;
    browser.shows("that all fits", FITS).await?;

    crew.mates[1].start().await?;
    browser.shows("both states", &titles(["HAProxy a applied", "HAProxy b applied"])).await?;
    assert_eq!(browser.complaints(), [""; 0]);
    Ok(())
}
