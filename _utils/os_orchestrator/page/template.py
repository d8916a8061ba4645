"""
The page's text and style. It is a module, since Salt's ``sync_all`` carries nothing but Python files.
"""

PAGE = """\
{% macro chart(shapes, class="") %}
<svg class="chart {{ class }}" viewBox="0 0 {{ width }} {{ shapes.height|px }}" role="img">
{% for x, kind, top in shapes.lines %}
<line class="{{ kind }}" x1="{{ x|px }}" x2="{{ x|px }}" y1="{{ top|px }}" y2="{{ shapes.height|px }}"/>
{% endfor %}
{% for bar in shapes.bars %}
<rect class="{{ bar.kind }}" x="{{ bar.x|px }}" y="{{ bar.y|px }}" width="{{ bar.width|px }}"
 height="{{ bar.height|px }}"><title>{{ bar.title }}</title></rect>
{% endfor %}
{% for text in shapes.words %}
<text class="{{ text.kind }}" x="{{ text.x|px }}" y="{{ text.y|px }}" text-anchor="{{ text.anchor }}">
{{- text.words }}{% if text.title %}<title>{{ text.title }}</title>{% endif %}</text>
{% endfor %}
</svg>
{% endmacro %}
{% macro badge(verdict) %}
<span class="badge {{ verdict|kind }}">{{ verdict }}</span>
{%- endmacro %}
{% macro count(number, noun) %}{{ number }} {{ noun }}{{ 's' if number != 1 }}{% endmacro %}
{% macro names(nodes, most=12) %}
{{ nodes[:most]|join(', ') }}{{ ' and ' ~ (nodes|length - most) ~ ' more' if nodes|length > most }}
{%- endmacro %}
{% macro problem(each) %}
<article class="problem">
<h3>{{ badge(each.verdict) }} <b class="{{ 'who' if each.nodes|length <= 12 }}">
{{- names(each.nodes) if each.nodes else each.phase }}</b>
{% if each.nodes %}
<span class="where">{{ each.nodes|length ~ ' nodes, ' if each.nodes|length > 1 }}
{{- 'in ' ~ each.number ~ '. ' ~ each.phase }}</span>
{% endif %}</h3>
{% if each.failures %}
<ul>
{% for row in each.failures[:8] %}
<li><code>{{ row.resource }}</code>: {{ row.message }}
{% if row.file and row.file|string not in row.message|string %}
<span class="where">{{ row.file }}{{ ':' ~ row.line if row.line }}</span>
{% endif %}</li>
{% endfor %}
{% if each.failures|length > 8 %}<li>and {{ each.failures|length - 8 }} more</li>{% endif %}
</ul>
{% elif each.reason %}
<p>{{ each.reason }}</p>
{% endif %}
{% if each.telling %}
<pre>{% for line in each.telling %}{{ line }}
{% endfor %}</pre>
{% endif %}
{% if each.log|length > each.telling|length %}
<details><summary>the end of its output, {{ each.log|length }} lines</summary>
<pre>{% for line in each.log %}{{ line }}
{% endfor %}</pre></details>
{% endif %}
</article>
{% endmacro %}
{% macro problems(list, id) %}
{% for each in list[:20] %}
{{ problem(each) }}
{% endfor %}
{% if list|length > 20 %}
<p>and {{ list|length - 20 }} more: <code>salt-run deployment.show {{ id }}</code></p>
{% endif %}
{% endmacro %}
{% macro rows(nodes, changes) %}
<table class="nodes">
<thead><tr><th>node</th><th>verdict</th><th class="number">took</th><th>what</th></tr></thead>
<tbody>
{% for node in nodes %}
<tr>
<td class="name">{{ node.node }}</td>
<td>{{ badge(node.verdict or ('running' if node.started else 'waiting')) }}</td>
<td class="number">{{ node.seconds|duration if node.seconds else '' }}</td>
<td class="said">{{ node.did }}{% if node.attempt > 1 %} (attempt {{ node.attempt }}){% endif %}
{% if changes and node.verdict and node.changes %}
<details><summary>{{ count(node.changes|length, 'change') }}</summary><ul>
{% for row in node.changes %}
<li><code>{{ row.resource }}</code>{{ ': ' ~ row.message if row.message }}</li>
{% endfor %}
</ul></details>
{% endif %}
</td>
</tr>
{% endfor %}
</tbody>
</table>
{% endmacro %}
{% macro group(nodes, word) %}
{% if nodes %}
<details{{ ' open' if word != 'good' and nodes|length <= 20 }}><summary>{{ nodes|length }} {{ word }}</summary>
{{ rows(nodes, word != 'good' or nodes|length <= 100) }}
{% if word == 'good' and nodes|length > 100 %}
<p>What changed on each of them: <code>salt-run deployment.show {{ story.id }}</code></p>
{% endif %}
</details>
{% endif %}
{% endmacro %}
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{{ generator|safe }}
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ story.environment }} {{ story.scenario }} {{ story.state }}, {{ story.started|at }}</title>
<style>{{ style|safe }}</style>
</head>
<body>
<header class="{{ story.state }}">
<h1><span class="mark" aria-hidden="true">{{ marks[story.state] }}</span>
{{ story.environment }} {{ story.scenario }} {{ 'is running' if story.state == 'running' else story.state }}
{{- ', noop: nothing was changed' if story.noop }}</h1>
{% if story.reason %}<p class="reason">{{ story.reason }}</p>{% endif %}
<p class="facts">
<span>{{ story.started|at }}</span>
{% if story.ended %}
<span>took {{ (story.ended - story.started)|duration }}
{{- ', ' ~ story.seconds|duration ~ ' with what it goes on with' if story.parts|length > 1 }}</span>
{% else %}
<span>read at {{ story.read|at }}</span>
{% endif %}
{% if story.comparison and story.state == 'succeeded' %}
<span>{{ story.seconds|change(story.comparison.before) }} against the last time</span>
{% endif %}
<span>by {{ story.user }}</span>
<span>deployment {{ story.id }}</span>
{% if story.partial %}<span class="partial">partial: not every node was asked</span>{% endif %}
</p>
<p class="counts">{% for verdict, count in verdicts.items() %}{{ badge(verdict) }} {{ count }} {% endfor %}</p>
</header>

{% if story.problems %}
<section>
<h2>What went wrong</h2>
{{ problems(story.problems, story.id) }}
</section>
{% endif %}

{% if story.parts|length > 1 or story.forgotten %}
<section>
<h2>It goes on with</h2>
<ul class="parts">
{% if story.forgotten %}<li>deployment {{ story.forgotten }}, which is not told here</li>{% endif %}
{% for part in story.parts[:-1] %}
<li><b class="{{ part.state }}">{{ part.state }}</b> deployment <a href="#part-{{ part.id }}">{{ part.id }}</a>,
{{ part.started|at }}, by {{ part.user }}{{ ', ' ~ (part.ended - part.started)|duration if part.ended }}</li>
{% endfor %}
</ul>
</section>
{% endif %}

<section>
<h2>Timeline</h2>
<p class="legend"><span class="key changed"></span>changed <span class="key unchanged"></span>unchanged
<span class="key tolerated"></span>tolerated, or a gate held <span class="key bad"></span>bad
<span class="key unstarted"></span>not started
<span class="key running"></span>no verdict <span class="key kept"></span>kept from before
<span class="key open"></span>a gate's good rounds</p>
<div class="axis">{{ chart(axis) }}</div>
{% for phase in story.phases %}
<div class="phase">
<h3>{{ phase.number }}. {{ phase.name }}
{% if phase.state == 'left_out' %}<span class="where">left out, {{ phase.reason }}</span>
{% elif phase.state == 'planned' %}<span class="where">not started</span>
{% else %}<b class="{{ phase.state }}">{{ phase.state }}</b>
<span class="where">{{ phase.seconds|duration ~ ', ' if phase.seconds is not none }}
{{- phase.reason if phase.kind == 'confirm' else
  count(phase.rounds, 'round') if phase.kind == 'gate' else count(phase.nodes|length, 'node') }}</span>
{% endif %}</h3>
{% if charts[phase.name] %}{{ chart(charts[phase.name]) }}{% endif %}
{% if phase.kind == 'gate' and phase.stretches %}
<details{{ ' open' if phase.stretches|length <= 12 }}><summary>what its rounds answered</summary><ol class="rounds">
{% for stretch in phase.stretches[-100:] %}
<li class="{{ 'good' if stretch.good else 'held' }}">{{ stretch|told }}
<span class="where">{{ (stretch.until - stretch.since)|duration if stretch.rounds > 1 }}</span></li>
{% endfor %}
</ol></details>
{% elif phase.kind in ('puppet', 'call') and phase.state not in ('left_out', 'planned') %}
{% set bad = phase.nodes|rejectattr('good')|list %}
{% set tolerated = phase.nodes|selectattr('verdict', 'equalto', 'tolerated')|list %}
{% set good = phase.nodes|selectattr('good')|rejectattr('verdict', 'equalto', 'tolerated')|list %}
{{ group(bad, 'not good') }}
{{ group(tolerated, 'tolerated') }}
{{ group(good, 'good') }}
{% endif %}
</div>
{% endfor %}
</section>

<div class="columns">
<section>
<h2>The plan</h2>
<svg class="flow" viewBox="0 0 {{ boxes_width }} {{ boxes_height|px }}" width="{{ boxes_width }}" role="img">
{% for placed in boxes %}
<g class="{{ placed.box.state }}"><title>{{ placed.title }}</title>
{% if not loop.first %}
<path class="arrow" d="M{{ boxes_width / 2 }} {{ (placed.y - 20)|px }} v18 m-4 -5 l4 5 l4 -5"/>
{% endif %}
{% if placed.box.shape == 'diamond' %}<polygon points="{{ placed.outline }}"/>
{% else %}<rect x="1" y="{{ placed.y|px }}" width="{{ boxes_width - 2 }}" height="46" rx="6"/>{% endif %}
{% for y, line in placed.lines %}
<text class="{{ 'first' if loop.first }}" x="{{ boxes_width / 2 }}" y="{{ y|px }}" text-anchor="middle">
{{- line }}</text>
{% endfor %}
</g>
{% endfor %}
</svg>
{% if story.excluded %}
<h3>Excluded</h3>
<ul>{% for node, why in story.excluded.items() %}<li><b>{{ node }}</b>: {{ why }}</li>{% endfor %}</ul>
{% endif %}
{% if story.selection.nodes or story.selection.from_phase %}
<h3>Not asked</h3>
<ul>
{% if story.selection.nodes %}<li>nodes other than {{ names(story.selection.nodes, 50) }}</li>{% endif %}
{% if story.selection.from_phase %}<li>phases before {{ story.selection.from_phase }}</li>{% endif %}
</ul>
{% endif %}
</section>

<div>
<section>
<h2>Against the last time</h2>
{% if story.comparison %}
{% set last = story.comparison %}
<p>Deployment {{ last.id }}, {{ last.started|at }}, by {{ last.user }}:
{{ last.state }}{{ ', partial' if last.partial }}.</p>
<table>
<thead><tr><th>phase</th><th class="number">now</th><th class="number">then</th>
<th class="number">difference</th></tr></thead>
<tbody>
{% for row in last.phases if row.seconds is not none or row.before is not none %}
<tr><td>{{ row.number }}. {{ row.name }}
{% if row.nodes != row.nodes_before and row.nodes_before %}
<span class="where">{{ count(row.nodes, 'node') }}, {{ row.nodes_before }} then</span>
{% endif %}</td>
<td class="number">{{ row.seconds|duration }}</td><td class="number">{{ row.before|duration }}</td>
<td class="number">{{ row.seconds|change(row.before) if row.seconds is not none and row.before is not none }}</td></tr>
{% endfor %}
</tbody>
<tfoot><tr><td>in all</td>
<td class="number">{{ story.seconds|duration }}</td><td class="number">{{ last.before|duration }}</td>
<td class="number">{{ story.seconds|change(last.before) if story.state == last.state == 'succeeded' }}</td></tr></tfoot>
</table>
{% else %}
<p>There is no earlier deployment of {{ story.environment }} {{ story.scenario }} in the journal.</p>
{% endif %}
</section>

<section>
<h2>Slowest resources</h2>
{% if story.slowest %}
<p>Of the five slowest of each run; the longest run counts.</p>
<table>
<thead><tr><th>resource</th><th class="number">longest</th><th>there</th><th class="number">runs</th>
<th class="number">together</th></tr></thead>
<tbody>
{% for row in story.slowest %}
<tr><td><code>{{ row.resource }}</code></td><td class="number">{{ row.seconds|duration }}</td><td>{{ row.node }}</td>
<td class="number">{{ row.runs }}</td><td class="number">{{ row.together|duration }}</td></tr>
{% endfor %}
</tbody>
</table>
{% else %}
<p>No run has told of a resource that took a tenth of a second.</p>
{% endif %}
</section>
</div>
</div>

{% for part in story.parts[:-1]|reverse %}
<section id="part-{{ part.id }}">
<h2>Before: deployment {{ part.id }} {{ part.state }}</h2>
<p class="facts"><span>{{ part.started|at }}</span><span>by {{ part.user }}</span>
{% if part.ended %}<span>took {{ (part.ended - part.started)|duration }}</span>{% endif %}</p>
{% if part.reason %}<p>{{ part.reason }}</p>{% endif %}
{{ problems(part.problems, part.id) }}
</section>
{% endfor %}

<footer>os-orchestrator, {{ story.read|at }}.
The same as text: <code>salt-run deployment.show {{ story.id }}</code></footer>
</body>
</html>
"""

STYLE = """
:root {
  --page: #fff; --text: #1f2328; --dim: #59636e; --line: #d1d9e0; --box: #f6f8fa; --link: #0969da;
  --changed: #2f74c0; --unchanged: #a5c8ea; --tolerated: #d4a72c; --bad: #cf222e; --running: #8c959f; --open: #2da44e;
  --good-page: #dafbe1; --bad-page: #ffebe9; --wait-page: #fff8c5; --info-page: #ddf4ff;
  --good-text: #116329; --bad-text: #a40e26; --wait-text: #7d4e00; --info-text: #0a3069;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0d1117; --text: #e6edf3; --dim: #9198a1; --line: #3d444d; --box: #161b22; --link: #58a6ff;
    --changed: #4d92e0; --unchanged: #2b4d75; --tolerated: #bb8009; --bad: #f85149; --running: #6e7681; --open: #3fb950;
    --good-page: #12261e; --bad-page: #3a1519; --wait-page: #2e2411; --info-page: #0f2136;
    --good-text: #56d364; --bad-text: #ff9790; --wait-text: #e3b341; --info-text: #79c0ff;
  }
}
@media print {
  :root {
    --page: #fff; --text: #000; --dim: #444; --line: #bbb; --box: #f6f8fa; --link: #000;
    --changed: #2f74c0; --unchanged: #a5c8ea; --tolerated: #d4a72c; --bad: #cf222e; --running: #8c959f; --open: #2da44e;
    --good-page: #dafbe1; --bad-page: #ffebe9; --wait-page: #fff8c5; --info-page: #ddf4ff;
    --good-text: #116329; --bad-text: #a40e26; --wait-text: #7d4e00; --info-text: #0a3069;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 16px 24px; max-width: 1240px; background: var(--page); color: var(--text);
  font: 14px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; overflow-wrap: anywhere; }
h1, h2, h3, p, ul, ol { margin: 0 0 8px; }
h1 { font-size: 24px; line-height: 1.3; }
h2 { font-size: 17px; margin: 28px 0 8px; padding-bottom: 4px; border-bottom: 1px solid var(--line); }
h3 { font-size: 14px; }
a { color: var(--link); }
code, pre { font: 12.5px/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
pre { margin: 0 0 8px; padding: 8px 12px; background: var(--box); border: 1px solid var(--line); border-radius: 6px;
  white-space: pre-wrap; }
ul, ol { padding-left: 20px; }
td, li, pre, p, b, code { unicode-bidi: isolate; }
summary { cursor: pointer; color: var(--dim); }
header { padding: 16px 20px; border-left: 8px solid; border-radius: 6px; }
header p:last-child { margin-bottom: 0; }
header.succeeded { background: var(--good-page); border-color: var(--open); }
header.failed { background: var(--bad-page); border-color: var(--bad); }
header.interrupted { background: var(--wait-page); border-color: var(--tolerated); }
header.running { background: var(--info-page); border-color: var(--changed); }
header.succeeded h1, b.succeeded { color: var(--good-text); }
header.failed h1, b.failed { color: var(--bad-text); }
header.interrupted h1, b.interrupted { color: var(--wait-text); }
header.running h1, b.running { color: var(--info-text); }
.mark { font-size: 26px; margin-right: 4px; }
.facts span { margin-right: 18px; white-space: nowrap; }
.partial { color: var(--wait-text); font-weight: 600; }
.where { color: var(--dim); font-weight: normal; }
.badge { display: inline-block; padding: 0 8px; border-radius: 10px; font-size: 12px; line-height: 19px;
  font-weight: 600; border: 1px solid var(--line); white-space: nowrap; }
.badge.bad { background: var(--bad); border-color: var(--bad); color: #fff; }
.badge.unstarted { color: var(--bad-text); border: 1px dashed var(--bad); }
.badge.changed { background: var(--info-page); color: var(--info-text); }
.badge.unchanged { background: var(--box); color: var(--dim); }
.badge.tolerated { background: var(--wait-page); color: var(--wait-text); }
.badge.running { background: var(--box); color: var(--text); border-style: dashed; }
.problem { margin: 0 0 12px; padding: 10px 14px 4px; border: 1px solid var(--line); border-left: 4px solid var(--bad);
  border-radius: 6px; break-inside: avoid; }
.problem .who { font-size: 16px; }
table { border-collapse: collapse; width: 100%; margin-bottom: 8px; }
th { text-align: left; color: var(--dim); font-weight: 600; overflow-wrap: normal; }
th, td { padding: 3px 10px 3px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tfoot td { font-weight: 600; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td:last-child, th:last-child { padding-right: 0; }
.nodes .name { white-space: nowrap; }
.nodes .said { width: 65%; }
.phase { margin: 8px 0 14px; }
.phase h3 { margin-bottom: 2px; }
.rounds li.held::marker { color: var(--tolerated); }
.rounds li.good::marker { color: var(--open); }
.columns { display: grid; grid-template-columns: minmax(300px, 480px) minmax(0, 1fr); gap: 0 40px; }
footer { margin: 32px 0 8px; color: var(--dim); font-size: 12px; }

.legend { color: var(--dim); font-size: 12px; }
.key { display: inline-block; width: 12px; height: 10px; margin: 0 4px 0 12px; border-radius: 2px; }
.key:first-child { margin-left: 0; }
.axis { position: sticky; top: 0; background: var(--page); border-bottom: 1px solid var(--line); }
svg { display: block; max-width: 100%; height: auto; font-family: inherit; }
.chart { width: 100%; break-inside: avoid; }
.chart text { font-size: 11.5px; fill: var(--text); }
.chart .small, .chart .tick, .chart .cut { font-size: 10.5px; fill: var(--dim); }
.chart .inside { font-size: 10.5px; fill: #fff; }
.chart .inside.unchanged { fill: var(--text); }
.chart .clock { font-weight: 600; }
.chart .small.bad { fill: var(--bad-text); font-weight: 600; }
line.grid { stroke: var(--line); stroke-width: 1; stroke-dasharray: 1 3; }
line.edge { stroke: var(--dim); stroke-width: 1; stroke-dasharray: 4 4; }
rect.phase { fill: var(--dim); }
rect.phase.succeeded { fill: var(--dim); }
rect.phase.failed { fill: var(--bad); }
rect.phase.interrupted { fill: var(--tolerated); }
rect.changed, .key.changed { fill: var(--changed); background: var(--changed); }
rect.unchanged, .key.unchanged { fill: var(--unchanged); background: var(--unchanged); }
rect.tolerated, rect.held, .key.tolerated { fill: var(--tolerated); background: var(--tolerated); }
rect.bad, .key.bad { fill: var(--bad); background: var(--bad); }
rect.running, .key.running { fill: var(--running); background: var(--running); }
rect.open, .key.open { fill: var(--open); background: var(--open); }
rect.kept, .key.kept { fill: none; stroke: var(--dim); border: 1px solid var(--dim); }
rect.unstarted, .key.unstarted { fill: none; stroke: var(--bad); stroke-dasharray: 2 2; border: 1px dashed var(--bad); }

.flow { margin-bottom: 16px; }
.flow rect, .flow polygon { fill: var(--box); stroke: var(--dim); }
.flow text { font-size: 11.5px; fill: var(--dim); }
.flow text.first { font-size: 13px; font-weight: 600; fill: var(--text); }
.flow .arrow { fill: none; stroke: var(--dim); }
.flow .succeeded rect, .flow .succeeded polygon { fill: var(--good-page); stroke: var(--open); }
.flow .failed rect, .flow .failed polygon { fill: var(--bad-page); stroke: var(--bad); stroke-width: 2; }
.flow .interrupted rect, .flow .interrupted polygon { fill: var(--wait-page); stroke: var(--tolerated); }
.flow .running rect, .flow .running polygon { fill: var(--info-page); stroke: var(--changed); }
.flow .left_out rect, .flow .left_out polygon { fill: none; stroke-dasharray: 5 4; }
.flow .left_out text.first { fill: var(--dim); font-weight: normal; }

@media (max-width: 900px) { .columns { grid-template-columns: 1fr; } }
@media print {
  body { max-width: none; padding: 0; font-size: 11px; }
  h1 { font-size: 20px; }
  h2 { font-size: 14px; margin-top: 20px; }
  h3, .problem .who { font-size: 12px; }
  code, pre, .badge, .legend { font-size: 10px; }
  summary { break-after: avoid; }
  .columns { display: block; }
  .columns section { break-inside: avoid; }
  .axis { position: static; }
  h2, h3 { break-after: avoid; }
  tr, .problem { break-inside: avoid; }
  details:not([open]) { display: none; }
  @page { size: A4; margin: 12mm; }
}
"""
