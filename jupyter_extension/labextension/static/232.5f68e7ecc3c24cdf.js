"use strict";(self.rspackChunkskynb=self.rspackChunkskynb||[]).push([[232],{475(o,e,n){var r=n(601),t=n.n(r),a=n(314),i=(n.n(a))()(t());i.push([o.id,`.skynb-Panel {
  --skynb-good: var(--jp-success-color1);
  --skynb-busy: var(--jp-warn-color1);
  --skynb-bad: var(--jp-error-color1);
  --skynb-idle: var(--jp-ui-font-color2);

  color: var(--jp-ui-font-color1);
  font-size: var(--jp-ui-font-size1);
}

.skynb-Head {
  padding: 4px 8px;
  font-size: var(--jp-ui-font-size1);
  font-weight: normal;
  letter-spacing: normal;
  text-transform: none;
}

.skynb-Notice {
  position: relative;
  margin-bottom: 8px;
  padding: 8px 24px 8px 8px;
  border-left: 3px solid var(--jp-warn-color1);
  background: var(--jp-layout-color2);
}

.skynb-Notice p {
  margin: 0 0 4px;
}

.skynb-Notice code {
  font-family: var(--jp-code-font-family);
  font-size: var(--jp-code-font-size);
  user-select: all;
}

.skynb-Notice-close,
.skynb-Row-more {
  position: absolute;
  border: none;
  background: none;
  color: inherit;
  cursor: pointer;
}

.skynb-Notice-close {
  top: 2px;
  right: 2px;
}

.skynb-Money {
  display: flex;
  flex-wrap: wrap;
  align-items: center;
  gap: 2px 8px;
  padding: 2px 0 6px;
}

.skynb-Money meter {
  flex: 1 1 60px;
  min-width: 40px;
  height: 12px;
}

.skynb-Money-budget {
  color: var(--jp-ui-font-color2);
}

.skynb-Filter {
  box-sizing: border-box;
  width: 100%;
  height: 26px;
  padding: 0 6px;
  border: 1px solid var(--jp-border-color1);
  background: var(--jp-input-background);
  color: inherit;
}

.skynb-Rows {
  display: flex;
  flex-direction: column;
  min-height: 60px;
}

.skynb-Rows-list {
  flex: 1;
  overflow-y: auto;
  contain: strict;
  min-height: 44px;
}

.skynb-Rows-list[hidden] {
  display: none;
}

.skynb-Rows-list:focus-visible {
  outline: 1px solid var(--jp-brand-color1);
  outline-offset: -1px;
}

.skynb-Rows-inner {
  position: relative;
}

.skynb-Rows-empty {
  margin: 0;
  padding: 0 8px;
  color: var(--jp-ui-font-color2);
}

.skynb-Row {
  position: absolute;
  box-sizing: border-box;
  width: 100%;
  height: 44px;
  padding: 5px 28px 4px 8px;
  overflow: hidden;
  display: grid;
  grid-template-columns: 1fr auto;
  column-gap: 8px;
}

.skynb-Row:hover {
  background: var(--jp-layout-color2);
}

.skynb-Row[aria-selected='true'] {
  background: var(--jp-layout-color2);
  box-shadow: inset 3px 0 var(--jp-brand-color1);
}

.skynb-Row-title,
.skynb-Row-detail {
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.skynb-Row-title {
  font-weight: 600;
}

.skynb-Row-detail {
  grid-column: 1 / 3;
  color: var(--jp-ui-font-color2);
  font-size: var(--jp-ui-font-size0);
}

.skynb-Row-state::before {
  content: '●';
  margin-right: 4px;
  color: var(--skynb-idle, var(--jp-ui-font-color2));
}

.skynb-Row-state[data-tone='good']::before {
  color: var(--skynb-good);
}

.skynb-Row-state[data-tone='busy']::before {
  content: '◐';
  color: var(--skynb-busy);
}

.skynb-Row-state[data-tone='bad']::before {
  content: '▲';
  color: var(--skynb-bad);
}

.skynb-Row-more {
  top: 10px;
  right: 4px;
  font-size: 16px;
}

.skynb-Ending {
  margin: 0;
  padding-left: 18px;
  line-height: 1.6;
}

.skynb-Gpus {
  width: min(560px, 80vw);
}

.skynb-Gpus-form {
  display: grid;
  grid-template-columns: 1fr 1fr;
  gap: 8px;
  margin-bottom: 8px;
}

.skynb-Gpus-form span {
  display: block;
}

.skynb-Gpus .skynb-Rows {
  height: 264px;
  border: 1px solid var(--jp-border-color1);
}

.skynb-Gpus .skynb-Row-state::before {
  content: none;
}

.skynb-Gpus-note {
  color: var(--jp-ui-font-color2);
}

.skynb-Log {
  display: flex;
  flex-direction: column;
  background: var(--jp-layout-color0);
}

.skynb-Log select {
  flex: none;
  width: max-content;
  margin: 4px 8px;
  padding: 2px 4px;
  border: 1px solid var(--jp-border-color1);
  background: var(--jp-input-background);
  color: var(--jp-ui-font-color1);
}

.skynb-Log [hidden] {
  display: none;
}

.skynb-Log-text {
  flex: 1;
  margin: 0;
  padding: 4px 8px;
  overflow: auto;
  color: var(--jp-content-font-color1);
  font-family: var(--jp-code-font-family);
  font-size: var(--jp-code-font-size);
  line-height: var(--jp-code-line-height);
  white-space: pre-wrap;
}

.skynb-Log-end {
  margin: 0;
  padding: 4px 8px;
  border-top: 1px solid var(--jp-border-color2);
}
`,""]),n.d(e,{},{A:i})},314(o){o.exports=function(o){var e=[];return e.toString=function(){return this.map(function(e){var n="",r=void 0!==e[5];return e[4]&&(n+="@supports (".concat(e[4],") {")),e[2]&&(n+="@media ".concat(e[2]," {")),r&&(n+="@layer".concat(e[5].length>0?" ".concat(e[5]):""," {")),n+=o(e),r&&(n+="}"),e[2]&&(n+="}"),e[4]&&(n+="}"),n}).join("")},e.i=function(o,n,r,t,a){"string"==typeof o&&(o=[[null,o,void 0]]);var i={};if(r)for(var s=0;s<this.length;s++){var p=this[s][0];null!=p&&(i[p]=!0)}for(var c=0;c<o.length;c++){var l=[].concat(o[c]);r&&i[l[0]]||(void 0!==a&&(void 0===l[5]||(l[1]="@layer".concat(l[5].length>0?" ".concat(l[5]):""," {").concat(l[1],"}")),l[5]=a),n&&(l[2]&&(l[1]="@media ".concat(l[2]," {").concat(l[1],"}")),l[2]=n),t&&(l[4]?(l[1]="@supports (".concat(l[4],") {").concat(l[1],"}"),l[4]=t):l[4]="".concat(t)),e.push(l))}},e}},601(o){o.exports=function(o){return o[1]}},72(o){var e=[];function n(o){for(var n=-1,r=0;r<e.length;r++)if(e[r].identifier===o){n=r;break}return n}function r(o,r){for(var t={},a=[],i=0;i<o.length;i++){var s=o[i],p=r.base?s[0]+r.base:s[0],c=t[p]||0,l="".concat(p," ").concat(c);t[p]=c+1;var d=n(l),u={css:s[1],media:s[2],sourceMap:s[3],supports:s[4],layer:s[5]};if(-1!==d)e[d].references++,e[d].updater(u);else{var f=function(o,e){var n=e.domAPI(e);return n.update(o),function(e){e?(e.css!==o.css||e.media!==o.media||e.sourceMap!==o.sourceMap||e.supports!==o.supports||e.layer!==o.layer)&&n.update(o=e):n.remove()}}(u,r);r.byIndex=i,e.splice(i,0,{identifier:l,updater:f,references:1})}a.push(l)}return a}o.exports=function(o,t){var a=r(o=o||[],t=t||{});return function(o){o=o||[];for(var i=0;i<a.length;i++){var s=n(a[i]);e[s].references--}for(var p=r(o,t),c=0;c<a.length;c++){var l=n(a[c]);0===e[l].references&&(e[l].updater(),e.splice(l,1))}a=p}}},659(o){var e={};o.exports=function(o,n){var r=function(o){if(void 0===e[o]){var n=document.querySelector(o);if(window.HTMLIFrameElement&&n instanceof window.HTMLIFrameElement)try{n=n.contentDocument.head}catch(o){n=null}e[o]=n}return e[o]}(o);if(!r)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");r.appendChild(n)}},540(o){o.exports=function(o){var e=document.createElement("style");return o.setAttributes(e,o.attributes),o.insert(e,o.options),e}},56(o,e,n){o.exports=function(o){var e=n.nc;e&&o.setAttribute("nonce",e)}},825(o){o.exports=function(o){if("u"<typeof document)return{update:function(){},remove:function(){}};var e=o.insertStyleElement(o);return{update:function(n){var r,t,a;r="",n.supports&&(r+="@supports (".concat(n.supports,") {")),n.media&&(r+="@media ".concat(n.media," {")),(t=void 0!==n.layer)&&(r+="@layer".concat(n.layer.length>0?" ".concat(n.layer):""," {")),r+=n.css,t&&(r+="}"),n.media&&(r+="}"),n.supports&&(r+="}"),(a=n.sourceMap)&&"u">typeof btoa&&(r+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(a))))," */")),o.styleTagTransform(r,e,o.options)},remove:function(){var o;null===(o=e).parentNode||o.parentNode.removeChild(o)}}}},113(o){o.exports=function(o,e){if(e.styleSheet)e.styleSheet.cssText=o;else{for(;e.firstChild;)e.removeChild(e.firstChild);e.appendChild(document.createTextNode(o))}}},579(o,e,n){var r=n(72),t=n.n(r),a=n(825),i=n.n(a),s=n(659),p=n.n(s),c=n(56),l=n.n(c),d=n(540),u=n.n(d),f=n(113),b=n.n(f),y=n(475),v={};v.styleTagTransform=b(),v.setAttributes=l(),v.insert=p().bind(null,"head"),v.domAPI=i(),v.insertStyleElement=u(),t()(y.A,v),y.A&&y.A.locals&&y.A.locals}}]);