"""How a panel looks inside JupyterLab: its colours in light and dark, one column when narrow."""

from workbench.report.block import live_style
from workbench.report.theme import recolour

_DARK = 'body[data-jp-theme-light="false"] .wb-explore-picture'
_PANEL = """
.wb-explore{--wb-soft:var(--jp-content-font-color2,#5c6570);--wb-line:var(--jp-border-color2,#e0ddd6);color:var(--jp-content-font-color1,#1c2127);font-family:system-ui,"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif;max-width:75rem;container-type:inline-size;overflow:hidden}
.wb-explore .widget-html,.wb-explore .widget-html-content{height:auto;line-height:1.4;color:inherit;overflow:visible;margin:0}
.wb-explore .wb-explore-title{font-size:1.15em;font-weight:650}
.wb-explore-form{display:flex;flex-flow:row wrap;gap:4px 16px;align-items:flex-start}
.wb-explore-field{flex:1 1 9.5rem;min-width:9rem;max-width:15rem;overflow:visible}
.wb-explore-wide{flex:2 1 18rem;max-width:30rem}
.wb-explore .wb-explore-control{width:auto;margin:2px 0;display:flex;flex-flow:column nowrap;align-items:stretch;height:auto}
.wb-explore .wb-explore-control>.widget-label{width:auto;max-width:none;text-align:left;font-size:12px;line-height:18px;height:auto;margin:0;white-space:normal}
.wb-explore .wb-explore-control select,.wb-explore .wb-explore-control input[type=text]{flex:0 0 28px;height:28px}
.wb-explore .wb-explore-row .widget-dropdown{width:18rem}
.wb-explore .wb.wb-live{max-width:none}
.wb-explore .wb-table thead th{min-width:2.6em}
.wb-explore-zh .wb-table thead th{word-break:keep-all}
body[data-jp-theme-light="false"] .wb-explore select{color-scheme:dark;background-image:url("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 18 18'%3E%3Cpath fill='none' stroke='%23d0d0d0' stroke-width='1.6' d='m5 7 4 4 4-4'/%3E%3C/svg%3E")!important}
.wb-explore .wb-findings{padding-left:2.2em}
.wb-explore .widget-checkbox.wb-explore-control{flex-flow:row nowrap;padding-top:18px}
.wb-explore .wb-explore-control input[type=text],.wb-explore .wb-explore-control select{width:100%;min-width:0}
.wb-explore-label{font-size:12px;line-height:18px;font-weight:500}
.wb-explore-help{display:block;font-size:11px;line-height:1.3;color:var(--wb-soft)}
.wb-explore-boxes{display:flex;flex-flow:row wrap;gap:0 12px}
.wb-explore-boxes .widget-checkbox,.wb-explore-column .widget-checkbox{width:auto;height:24px;margin:0}
.wb-explore-column{flex:1 1 8.5rem;min-width:8rem;max-width:14rem}
.wb-explore-column .widget-text{width:100%}
.wb-explore-fold{margin:4px 0;padding:6px 10px;border:1px solid var(--wb-line);border-radius:4px;overflow:visible}
.wb-explore-row{display:flex;flex-flow:row wrap;gap:4px;align-items:center;margin:2px 0;overflow:visible}
.wb-explore .wb-explore-row .jupyter-button{width:auto;max-width:100%;margin:0;padding:0 8px}
.wb-explore .wb-explore-row .widget-dropdown,.wb-explore .wb-explore-row .widget-text{max-width:100%}
.wb-explore :is(button,input,select,[tabindex]):focus-visible{outline:2px solid var(--jp-brand-color1,#1f6fa5)!important;outline-offset:1px}
.wb-explore-views .widget-toggle-buttons,.wb-explore-views.widget-toggle-buttons{width:auto}
.wb-explore .widget-toggle-buttons>div{display:flex;flex-flow:row wrap;gap:3px}
.wb-explore .widget-toggle-buttons .jupyter-button{width:auto;margin:0;padding:0 8px}
.wb-explore-status{font-size:12px;color:var(--wb-soft);min-height:1.4em}
.wb-explore .wb-explore-error{color:var(--jp-error-color1,#a4301f);white-space:pre-line;overflow-wrap:anywhere}
.wb-explore-picture{width:100%;min-width:0;overflow-x:auto}
.wb-explore-picture>*{width:100%;min-width:0}
.wb-explore-picture .vega-embed{width:100%;padding:0;overflow:visible}
.wb-explore-picture .vega-embed details{display:none}
.wb-explore .jupyter-widgets-disconnected::before{display:none}
.wb-explore.jupyter-widgets-disconnected::before{content:"The kernel is gone: this panel answers no more. Run its cell again.";display:block;padding:.3em .7em;margin:0 0 .4em;color:var(--jp-error-color1,#a4301f);border-left:3px solid currentColor;font:600 13px/1.4 system-ui,sans-serif;position:static}
.wb-explore-zh.jupyter-widgets-disconnected::before{content:"内核已停止，面板不再响应。请重新运行该单元格。"}
.wb-explore code{font-size:12px;background:var(--jp-layout-color2,#f4f2ed);color:inherit;padding:2px 4px;overflow-wrap:anywhere;white-space:pre-wrap}
"""


def style() -> str:
    """The style sheet of a panel, as an element."""
    return f"<style>{live_style()}{_PANEL}{recolour(_DARK, 'dark')}</style>"
