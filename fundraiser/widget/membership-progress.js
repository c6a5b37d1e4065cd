// @ts-check
/**
 * <membership-progress campaign="slug">: how many members a newsroom has, and the way to join them.
 *
 * Its children stand until the number is known. Words, tiers and look come with the appearance, in
 * the page's language; attributes replace them. docs/embedding.md lists attributes, CSS variables,
 * parts and events. `make publish-widget` builds what is served (script.py).
 */
{
  /**
   * @typedef {{members: number, goal: number, status: string, deadline: string,
   *   stale_since?: string, version: number, revision: number}} Progress
   * @typedef {"tier" | "interval" | "currency"} Question
   * @typedef {Record<string, string>} Texts
   * @typedef {{interval: string, currency: string, text: string}} Price
   * @typedef {{campaign: string, revision: number, headline: Texts, message: Texts,
   *   tiers: {tier: string, name: Texts, prices: Price[]}[], intervals: string[],
   *   currencies: string[], default: Record<Question, string>, links: {join: string},
   *   look: {theme: string, accent: string}, language: string, locale: string,
   *   words: Texts}} Appearance
   */

  const source = /** @type {HTMLScriptElement | null} */ (document.currentScript)?.src;
  const css = `
    :host {
      display: block;
    }
    :host([variant=counter]) {
      display: inline;
    }
    :host([hidden]) {
      display: none;
    }
    .box {
      all: initial;
      display: flex;
      flex-wrap: wrap;
      align-items: center;
      gap: .7em 1.2em;
      padding-block: .7em;
      border-block: 1px solid;
      color: inherit;
      font-family: inherit;
      font-size: max(15px, 1em);
      font-variant-numeric: lining-nums tabular-nums;
      line-height: 1.4;
      overflow-wrap: anywhere;
    }
    .light, .dark {
      padding-inline: 1em;
      color: CanvasText;
      background: Canvas;
      color-scheme: light;
    }
    .night, .dark {
      color-scheme: dark;
    }
    .card {
      padding-block: 1.2em 1em;
      border-top-width: 4px;
      background-image: linear-gradient(#0000 2px, currentColor 0 3px, #0000 0);
    }
    p, div div {
      flex: 1 1 100%;
      margin: 0;
      unicode-bidi: plaintext;
    }
    .headline {
      font-size: 1.2em;
      font-weight: 700;
      line-height: 1.2;
      text-wrap: balance;
    }
    .figure {
      font-size: 1.2em;
    }
    .card .figure {
      font-size: 2.8em;
      line-height: 1;
    }
    .track {
      position: relative;
      height: 12px;
      margin-block: 5px;
      background: #8884;
      forced-color-adjust: none;
    }
    .compact .track {
      flex: 9 1 11em;
      height: 8px;
    }
    .track * {
      position: absolute;
      inset-block: 0;
      inset-inline-start: 0;
      width: calc(100% * min(var(--at), var(--goal)));
      background: var(--accent);
    }
    .track .over {
      inset-inline-start: calc(100% * var(--goal));
      width: calc(100% * (var(--at) - var(--goal)));
      background: repeating-linear-gradient(115deg, var(--accent) 0 3px, #0000 3px 6px);
    }
    .track .tick {
      inset: -5px auto;
      inset-inline-start: calc(100% * var(--goal) - 2px);
      width: 2px;
      background: currentColor;
    }
    div div, label {
      display: flex;
      flex-wrap: wrap;
    }
    label {
      flex: 1 4em;
      align-items: center;
      gap: 0 .4em;
      padding-block: .6em;
      border-top: 1px solid #8888;
    }
    label:has(:checked) {
      box-shadow: inset 0 3px var(--accent);
    }
    .count, .price {
      flex: auto;
    }
    input {
      appearance: none;
      width: 1.2em;
      height: 1.2em;
      margin: 0;
      border: 1px solid;
      border-radius: 50%;
    }
    :checked {
      background: radial-gradient(var(--accent) 50%, #0000 0);
    }
    .interval, .currency, a {
      flex: 1 1 12em;
    }
    a {
      padding: .7em 1.4em;
      border: 1px solid var(--accent);
      border-radius: var(--membership-corner, 2px);
      color: var(--ink);
      background: var(--accent);
      font-weight: 600;
      text-align: center;
      text-decoration: none;
    }
    a:hover {
      text-decoration: underline;
    }
    .compact a, .bar a {
      flex: initial;
      padding: .4em .9em;
    }
    .ended {
      --accent: #777 !important;
    }
    .ended .message, .ended div {
      display: none;
    }
    .ended a, .bar a {
      color: inherit;
      background: none;
    }
    :focus-visible {
      outline: 3px solid var(--accent);
      outline-offset: 3px;
    }
    .box.counter, .counter .figure {
      all: unset;
    }
    @media (prefers-reduced-motion: no-preference) {
      .track *, .change {
        transition: .6s, background 0s, color 0s;
      }
    }
    @starting-style {
      .change {
        opacity: 0;
      }
    }
  `;

  /** @type {Record<string, Promise<any>>} */
  const asked = {};
  /**
   * The answer's JSON, or its status if that is no success, or 0 if none came.
   * The elements of a page share what they ask for.
   * @param {string} address
   * @param {RequestCache} [cache]
   */
  const load = (address, cache) => {
    setTimeout(() => delete asked[address], 1500);
    return (asked[address] ??= fetch(address, {
      cache,
      signal: AbortSignal.timeout?.(9e3)
    })
      .then((answer) => (answer.ok ? answer.json() : answer.status))
      .catch(() => 0));
  };

  /**
   * @template {keyof HTMLElementTagNameMap} Tag
   * @param {Tag} tag
   * @param {string} part also the class
   * @param {Partial<HTMLElementTagNameMap[Tag]>} properties
   * @param {(Node | string)[]} children
   */
  const make = (tag, part, properties = {}, ...children) => {
    const node = document.createElement(tag);
    Object.assign(node, { part, className: part }, properties).append(...children);
    return node;
  };

  /**
   * Shows a box, or the child in a slot.
   * @param {ShadowRoot} root
   * @param {Node} [node]
   */
  const fill = (root, node = make("slot", "")) =>
    root.replaceChildren(...root.querySelectorAll("style"), node);

  /**
   * @param {HTMLElement} host
   * @param {string} name
   * @param {object} detail
   */
  const tell = (host, name, detail) =>
    host.dispatchEvent(new CustomEvent("membership-progress:" + name, { bubbles: true, detail }));

  /**
   * How light a colour is, from 0 to 255: its relative luminance (WCAG 2.2), with sRGB's gamma.
   * @param {number[]} color red, green and blue
   */
  const light = ([red, green, blue]) =>
    (.2126 * red ** 2.2 + .7152 * green ** 2.2 + .0722 * blue ** 2.2) ** .4545;

  /**
   * Sets the colours that style sheets choose only where colours can be relative: the accent,
   * lighter on a dark page, and black or white on it, whichever reads better.
   * @param {HTMLElement} box
   * @param {string} accent any CSS colour, var() included
   * @param {string} places where the bar's parts end, there from the first measuring on
   */
  const paint = (box, accent, places) => {
    const { style } = box;
    style.cssText = places + "forced-color-adjust:none"; // or each colour reads as the reader's own
    const computed = getComputedStyle(box);
    /** @type {(color: string) => number[]} from 0 to 255 */
    const read = (color) => {
      style.color = color;
      // Where this is unknown, and so ignored, every colour is an rgb() already.
      style.color = `color-mix(in srgb,${computed.color},${computed.color})`;
      const parts = /** @type {string[]} */ (computed.color.match(/[\d.e-]+/g));
      return parts.map((part) => +part * (computed.color[0] == "r" ? 1 : 255));
    };
    // A light ink means a dark page, whatever the page declares.
    const night = light(read("")) > 128;
    let shown = read(accent);
    const lack = 180 - light(shown);
    if (night && lack > 0) shown = shown.map((part) => part + (255 - part) * lack / (lack + 75));
    style.cssText =
      places + `--accent:rgb(${shown});--ink:${light(shown) < 117 ? "#fff" : "#000"}`;
    box.classList.toggle("night", night);
  };

  /**
   * What a reader can choose, and the link that takes the choice to the newsroom.
   * @param {HTMLElement & Partial<Record<Question, string>>} host keeps what was chosen
   * @param {Appearance} appearance
   * @param {string} short which of the link's two texts
   */
  const offer = (host, { campaign, words, tiers, language, links, ...more }, short) => {
    const choice = { ...more.default };
    const prices = tiers.map(() => make("p", "price"));
    const link = make("a", "join", {
      textContent: host.getAttribute("button") ?? words["join" + short],
      target: "_top",
      onclick: () => {
        lead();
        tell(host, "join", { ...choice, href: link.href });
      }
    });
    const lead = () => {
      // In a frame the address is the frame's own; the referrer is the page around it.
      const [page] = (top == window ? location.href : document.referrer).split("#");
      link.href =
        links.join +
        "?" +
        new URLSearchParams({
          campaign,
          ...choice,
          ref: page.split(/\/\/|\?/)[1] ?? "",
          return: page
        });
    };
    const choose = () => {
      tiers.forEach((tier, index) => {
        prices[index].textContent =
          tier.prices.find(
            (price) => price.interval + price.currency == choice.interval + choice.currency
          )?.text ?? "";
      });
      lead();
    };
    /** @type {(name: Question, options: [string, ...(Node | string)[]][]) => Node | string} */
    const ask = (name, options) => {
      const labels = options.map(([value, ...label]) => {
        // What the reader chose holds when the element is moved, and until the attribute changes.
        if (value == (host[name] ?? host.getAttribute(name))) choice[name] = value;
        const onchange = () => {
          choice[name] = host[name] = value;
          choose();
        };
        return make(
          "label",
          "option",
          {},
          make("input", "", { type: "radio", name, checked: value == choice[name], onchange }),
          ...label
        );
      });
      return labels[1]
        ? make("div", name, { role: "radiogroup", ariaLabel: words[name] }, ...labels)
        : "";
    };
    const offered = [
      ask(
        "tier",
        tiers.map(({ tier, name }, index) => [tier, name[language], prices[index]])
      ),
      ask(
        "interval",
        more.intervals.map((interval) => [interval, words[interval]])
      ),
      ask(
        "currency",
        more.currencies.map((currency) => [currency, currency])
      ),
      link
    ];
    choose();
    return { offered, lead };
  };

  /**
   * Fills the shadow root.
   * @param {HTMLElement} host
   * @param {ShadowRoot} root
   * @param {Appearance} appearance
   * @returns {(progress: Progress, old: string | number) => void} what shows a number there
   */
  const build = (host, root, appearance) => {
    const { campaign, words, look, language, locale } = appearance;
    /** @type {(name: string, otherwise: string) => string} */
    const own = (name, otherwise) => host.getAttribute(name) ?? otherwise;
    const variant = own("variant", "card");
    const short = variant == "compact" ? "_short" : "";
    const ariaLabel = own("headline", appearance.headline[language]);
    const { offered, lead } = offer(host, appearance, short);

    const figure = make("b", "figure");
    const rest = make("span", "rest");
    const count = make("p", "count", {}, figure, " ", rest);
    const track = make(
      "p",
      "track",
      { role: "progressbar", ariaLabel },
      ...["fill", "over", "tick"].map((part) => make("i", part))
    );
    const state = make("p", "state");
    const action =
      location.hash == "#joined=" + campaign
        ? [make("p", "thanks", {}, words.thanks)]
        : offered;
    const box = make(
      "div",
      "",
      {},
      ...({
        counter: [figure],
        compact: [count, track, ...action.slice(-1)],
        bar: [count, ...action.slice(-1), track, state]
      }[variant] ?? [
        make("p", "headline", {}, ariaLabel),
        count,
        track,
        make("p", "message", {}, own("message", appearance.message[language])),
        state,
        ...action
      ])
    );
    fill(root, box);

    /** @type {number | undefined} */
    let shown;
    return (progress, old) => {
      const { members, goal, status, deadline } = progress;
      const more = members - goal;
      const axis = Math.max(goal, members / .96);
      box.className = ["box", variant, own("theme", look.theme), status].join(" ");
      paint(
        box,
        own("accent", "var(--membership-accent," + look.accent + ")"),
        `--at:${members/axis};--goal:${goal/axis};`
      );
      lead(); // the page's address may have changed
      rest.textContent = words[more > 0 ? "beyond" + short : "of"].replace(
        "#",
        (more > 0 ? more : goal).toLocaleString(locale)
      );
      state.textContent = words[status].replace("#", () => {
        // A reader's clock may be fast: an hour is the least that is left.
        const days = Math.max(.01, (Date.parse(deadline) - Date.now()) / 86400000);
        const left = new Intl.RelativeTimeFormat(language);
        return days < 1
          ? left.format(Math.ceil(days * 24), "hour")
          : left.format(Math.floor(days), "day");
      });
      if (old) state.append(" " + words.as_of + " " + new Date(old).toLocaleString(locale));
      if (members != shown) {
        const news = shown == null ? "loaded" : "change";
        shown = members;
        figure.replaceChildren(make("span", news, {}, members.toLocaleString(locale)));
        tell(host, news, progress);
      }
      track.ariaValueMax = `${axis}`;
      track.ariaValueNow = `${members}`;
      track.ariaValueText = count.textContent;
    };
  };

  class Widget extends HTMLElement {
    static observedAttributes =
      "campaign variant theme accent lang headline message button tier interval currency".split(
        " "
      );
    #root = this.attachShadow({ mode: "open" });
    #visible = true;
    /** @type {object | undefined} */
    #run;

    constructor() {
      super();
      // First of all: whatever fails from here on, the child stands.
      fill(this.#root);
      try {
        const sheet = new CSSStyleSheet();
        sheet.replaceSync(css);
        this.#root.adoptedStyleSheets = [sheet];
      } catch {
        this.#root.append(make("style", "", { textContent: css }));
      }
      new IntersectionObserver((entries) => {
        this.#visible = !!entries.pop()?.isIntersecting;
      }).observe(this);
    }

    async connectedCallback() {
      const run = (this.#run = {});
      const language = this.closest("[lang]")?.getAttribute("lang") || navigator.language;
      /** @type {Progress | undefined} */
      let progress;
      /** @type {Appearance | undefined} */
      let appearance;
      /** @type {ReturnType<typeof build> | undefined} */
      let show;
      // Times are the page's own: a clock that is set back would hold everything up.
      // ``quiet`` counts the answers in a row that brought nothing new.
      let heard = 0;
      let due = 0;
      let quiet = 0;

      while (run == this.#run) {
        // A module or an inline script has no address; the child's link has, once it is there.
        const from = source || this.querySelector("a")?.href;
        if (progress && (document.hidden || !navigator.onLine || !this.#visible)) quiet = due = 0;
        else if (from && performance.now() >= due) {
          const base = new URL(`/campaigns/${this.getAttribute("campaign")}/`, from);
          // The progress, or the status of an answer that was none.
          const news = await load(base + "progress", "no-cache");
          const { revision } = news;
          /** @type {any} the appearance, or a status as well */
          const fresh =
            revision && revision != appearance?.revision
              ? await load(`${base}appearance?lang=${language}&revision=${revision}`)
              : appearance;
          if (run != this.#run || news == 404 || fresh == 404) break;
          if (revision && fresh?.revision) {
            if (fresh != appearance) show = build(this, this.#root, (appearance = fresh));
            quiet = news.version == progress?.version ? quiet + 1 : 0;
            heard = performance.now();
            if (!progress || news.version >= progress.version) progress = news;
          } else quiet = Math.max(quiet, 90) + 9;
          // A look every 2 seconds for three minutes, then ever more rarely, up to once a minute.
          due = performance.now() + 2000 * Math.min(29, 1.05 ** (quiet - 90) - 1);
        }
        // A number is old when the server says so, or when nothing was heard for two minutes.
        const old = performance.now() - heard > 12e4 ? performance.timeOrigin + heard : 0;
        try {
          if (progress) show?.(progress, progress.stale_since ?? old);
        } catch (error) {
          fill(this.#root);
          throw error;
        }
        await new Promise((done) => setTimeout(done, 1600 + Math.random() * 800));
      }
    }

    disconnectedCallback() {
      this.#run = undefined;
    }

    /** @param {string} name */
    attributeChangedCallback(name) {
      delete (/** @type {any} */ (this)[name]); // what a reader chose before
      if (this.#run) this.connectedCallback();
    }
  }

  customElements.get("membership-progress") ??
    customElements.define("membership-progress", Widget);
}
