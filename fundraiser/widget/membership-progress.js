// @ts-check
/**
 * <membership-progress campaign="slug">: how many members a newsroom has, and the way to join them.
 *
 * Its children stand until the number is known. Words, tiers and look come with the appearance, in
 * the page's language; attributes replace them. docs/embedding.md lists attributes, CSS variables,
 * parts and events. It is served without the comments and spaces of this file (script.py).
 */
{
  /**
   * @typedef {{members: number, goal: number, status: string, deadline: string,
   *   stale_since?: string, version: number, revision: number}} Progress
   * @typedef {"tier" | "interval" | "currency"} Question
   * @typedef {Record<string, string>} Texts
   * @typedef {{interval: string, currency: string, text: string}} Price
   * @typedef {{revision: number, headline: Texts, message: Texts,
   *   tiers: {tier: string, name: Texts, prices: Price[]}[], intervals: string[],
   *   currencies: string[], default: Record<Question, string>, links: {join: string},
   *   look: {theme: string, accent: string}, language: string, locale: string,
   *   words: Texts}} Appearance
   */

  const { src } = /** @type {HTMLScriptElement} */ (document.currentScript);
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
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
      --accent: var(--own);
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
    .night {
      --accent: oklch(from var(--own) max(l, .74) max(c, .1) h);
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
    .count {
      flex: auto;
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
      block-size: 12px;
      margin-block: 5px;
      background: #8884;
      forced-color-adjust: none;
    }
    .compact .track {
      flex: 9 1 11em;
      block-size: 8px;
    }
    .track * {
      position: absolute;
      inset-block: 0;
      inline-size: calc(100% * min(var(--at), var(--goal)));
      background: var(--accent);
    }
    .track .over {
      inset-inline-start: calc(100% * var(--goal));
      inline-size: calc(100% * (var(--at) - var(--goal)));
      background: repeating-linear-gradient(115deg, var(--accent) 0 3px, #0000 3px 6px);
    }
    .track .tick {
      inset: -5px auto;
      inset-inline-start: calc(100% * var(--goal) - 2px);
      inline-size: 2px;
      background: currentColor;
    }
    div div {
      display: flex;
    }
    label {
      flex: 1;
      padding-block: .6em;
      border-top: 1px solid #8888;
    }
    label:has(:checked) {
      box-shadow: inset 0 3px var(--accent);
    }
    input {
      scale: 1.3;
      margin-inline: .1em .5em;
      accent-color: var(--accent);
    }
    .interval, .currency, a {
      flex: 1 1 12em;
    }
    a {
      padding: .7em 1.4em;
      border: 1px solid var(--accent);
      border-radius: var(--membership-corner, 2px);
      color: oklch(from var(--accent) clamp(0, (.568 - l) * 9e9, 1) 0 0);
      background: var(--accent);
      font-weight: 600;
      text-align: center;
      text-decoration: none;
    }
    a:hover {
      text-decoration: underline;
    }
    .compact a, .bar a {
      flex: none;
      padding: .4em .9em;
    }
    .ended {
      --accent: #777;
    }
    .ended .message, .ended div, div:has(~ .thanks) {
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
        transition: .6s, background 0s;
      }
    }
    @starting-style {
      .change {
        opacity: 0;
      }
    }
  `);

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
      signal: AbortSignal.timeout(9e3)
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
   * Fills the shadow root.
   * @param {HTMLElement} host
   * @param {ShadowRoot} root
   * @param {Appearance} appearance
   * @returns {(progress: Progress, old: string | number) => void} what shows a number there
   */
  const build = (host, root, appearance) => {
    const { words, look, tiers, language, locale } = appearance;
    /** @type {(name: string, otherwise: string) => string} */
    const own = (name, otherwise) => host.getAttribute(name) ?? otherwise;
    /** @type {(name: string, detail: object) => void} */
    const tell = (name, detail) => {
      host.dispatchEvent(new CustomEvent("membership-progress:" + name, { bubbles: true, detail }));
    };

    const campaign = own("campaign", "");
    const variant = own("variant", "card");
    const short = variant == "compact" ? "_short" : "";
    const theme = own("theme", look.theme);
    const ariaLabel = own("headline", appearance.headline[language]);
    const accent = own("accent", "var(--membership-accent," + look.accent + ")");
    const choice = { ...appearance.default };
    const link = make("a", "join", {
      textContent: own("button", words["join" + short]),
      target: "_top",
      onclick: () => tell("join", { ...choice, href: link.href })
    });
    const prices = tiers.map(() => make("p", "price"));
    const choose = () => {
      const { interval, currency } = choice;
      tiers.forEach((tier, index) => {
        prices[index].textContent =
          tier.prices.find((price) => price.interval + price.currency == interval + currency)
            ?.text ?? "";
      });
      // In a frame the address is the frame's own; the referrer is the page around it.
      const [page] = (top == window ? location.href : document.referrer).split("#");
      const ref = page.split(/\/\/|\?/)[1] ?? "";
      link.href =
        appearance.links.join +
        "?" +
        new URLSearchParams({ campaign, ...choice, ref, return: page });
    };
    /** @type {(name: Question, options: [string, ...(Node | string)[]][]) => Node | string} */
    const ask = (name, options) => {
      const labels = options.map(([value, ...label]) => {
        if (value == own(name, "")) choice[name] = value;
        const onchange = () => {
          choice[name] = value;
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
      location.hash == "#joined=" + campaign ? make("p", "thanks", {}, words.thanks) : link;
    const box = make(
      "div",
      "",
      {},
      ...({
        counter: [figure],
        compact: [count, track, action],
        bar: [count, action, track, state]
      }[variant] ?? [
        make("p", "headline", {}, ariaLabel),
        count,
        track,
        make("p", "message", {}, own("message", appearance.message[language])),
        state,
        ask(
          "tier",
          tiers.map(({ tier, name }, index) => [tier, name[language], prices[index]])
        ),
        ask(
          "interval",
          appearance.intervals.map((interval) => [interval, words[interval]])
        ),
        ask(
          "currency",
          appearance.currencies.map((currency) => [currency, currency])
        ),
        action
      ])
    );
    choose();
    root.replaceChildren(box);

    /** @type {number | undefined} */
    let shown;
    return (progress, old) => {
      const { members, goal, status, deadline } = progress;
      const more = members - goal;
      const axis = Math.max(goal, members / .96);
      box.style.cssText = `--own:${accent};--at:${members/axis};--goal:${goal/axis}`;
      box.className = ["box", variant, theme, status].join(" ");
      // A light ink means a dark page, whatever the page declares.
      const ink = getComputedStyle(box).color;
      box.classList.toggle("night", parseFloat(ink.split("(")[1]) > (ink[0] == "r" ? 128 : .5));
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
        tell(news, progress);
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
      this.#root.adoptedStyleSheets = [sheet];
      this.#root.append(make("slot", ""));
      new IntersectionObserver((entries) => {
        for (const { isIntersecting } of entries) this.#visible = isIntersecting;
      }).observe(this);
    }

    async connectedCallback() {
      const run = (this.#run = {});
      const base = new URL(`campaigns/${this.getAttribute("campaign")}/`, src);
      const language = this.closest("[lang]")?.getAttribute("lang") || navigator.language;
      /** @type {Progress | undefined} */
      let progress;
      /** @type {Appearance | undefined} */
      let appearance;
      /** @type {ReturnType<typeof build> | undefined} */
      let show;
      // ``quiet`` counts the answers in a row that brought nothing new.
      let heard = 0;
      let due = 0;
      let quiet = 0;

      while (run == this.#run) {
        if (progress && (document.hidden || !navigator.onLine || !this.#visible)) quiet = due = 0;
        else if (Date.now() >= due) {
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
            heard = Date.now();
            if (!progress || news.version >= progress.version) progress = news;
          } else quiet = Math.max(quiet, 90) + 9;
          // A look every 2 seconds for three minutes, then ever more rarely, up to once a minute.
          due = Date.now() + 2000 * Math.min(29, 1.05 ** (quiet - 90) - 1);
        }
        // A number is old when the server says so, or when nothing was heard for two minutes.
        if (progress) show?.(progress, progress.stale_since ?? (Date.now() - heard > 12e4 ? heard : 0));
        await new Promise((done) => setTimeout(done, 1600 + Math.random() * 800));
      }
    }

    disconnectedCallback() {
      this.#run = undefined;
    }

    attributeChangedCallback() {
      if (this.#run) this.connectedCallback();
    }
  }

  customElements.get("membership-progress") ??
    customElements.define("membership-progress", Widget);
}
